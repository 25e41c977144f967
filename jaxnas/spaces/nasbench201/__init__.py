"""The cell of NAS-Bench-201, whose networks are all in a table."""
