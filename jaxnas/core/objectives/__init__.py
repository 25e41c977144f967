"""Summands of an objective: losses, distillation, costs, constraints."""
