"""Pictures of a run, gathered on one self-contained page."""
