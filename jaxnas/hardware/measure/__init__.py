"""Measurement campaigns: which networks to measure, rounds, stopping, files."""
