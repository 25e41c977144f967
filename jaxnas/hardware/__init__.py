"""What networks cost on a device: counted, measured, predicted."""
