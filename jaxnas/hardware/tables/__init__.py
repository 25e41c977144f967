"""Tables of measurements from elsewhere."""
