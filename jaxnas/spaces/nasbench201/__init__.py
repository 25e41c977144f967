"""The cell of NAS-Bench-201, of which a benchmark has all networks."""
