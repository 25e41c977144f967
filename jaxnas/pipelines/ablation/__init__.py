"""Ablations: methods, settings, data and seeds as one table, compared and verified."""
