"""Tables of published or user-supplied measurements."""
