"""Whole jobs, from settings to files."""
