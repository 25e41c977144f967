"""DARTS's cells: two inputs, and two edges into each node."""
