"""Analytic cost of networks on accelerators that do not exist: arrays of processing elements."""
