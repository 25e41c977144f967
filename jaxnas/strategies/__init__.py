"""Search by evaluations: ask for architectures, tell what they scored."""
