"""Designs as integers: what may vary, and how designs are drawn, changed and combined."""
