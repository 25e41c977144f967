"""Surrogates: regressions of a goal's values on features of designs."""
