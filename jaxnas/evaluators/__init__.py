"""From an architecture to figures: shared weights, training, a table."""
