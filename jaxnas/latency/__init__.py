"""Milliseconds on a device: measured, fitted, predicted."""
