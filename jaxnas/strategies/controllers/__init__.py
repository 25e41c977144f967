"""Policies that draw designs, and what a controller adds to their training."""
