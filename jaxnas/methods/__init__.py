"""Methods: one file each, only choices."""
