"""sharpDARTS's hypercuboid: a path through a grid of layers and widths."""
