"""Studies: what a file says, the study it stands for, and what that will need."""
