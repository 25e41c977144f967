"""Runs worth repeating: each a settings object and the command that starts it."""
