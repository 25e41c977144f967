"""Acquisition: the designs that fitted surrogates find best."""
