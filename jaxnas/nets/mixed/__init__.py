"""Edges and layers that are mixtures of candidates."""
