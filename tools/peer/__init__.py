"""Eager PyTorch networks and steps that jaxnas is timed against; needs the extra `bench`."""
