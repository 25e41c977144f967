"""Measurement campaigns: which programs, how often, when enough."""
