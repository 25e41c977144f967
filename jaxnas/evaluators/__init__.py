"""Performance estimation of architectures: shared weights, training, tables."""
