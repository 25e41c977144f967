"""Derived networks as source code that needs flax alone, with their weights under flax's names."""
