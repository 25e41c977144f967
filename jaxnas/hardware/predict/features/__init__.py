"""Features of networks: what of a network a device's time depends on."""
