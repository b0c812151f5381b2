"""Models as text: equations in a study, read with a whitelist and never evaluated."""
