"""A user's own space: read from a file or from another package, and checked."""
