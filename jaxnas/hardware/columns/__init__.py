"""Models of tables whose columns of numbers describe a network: layers, width, length, ..."""
