"""Networks of finitely many neurons, moved step by step."""
