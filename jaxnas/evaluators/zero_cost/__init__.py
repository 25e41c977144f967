"""Training-free scores of networks at their initial weights."""
