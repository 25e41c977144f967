"""Differentiable neural architecture search on JAX.

Modules, from the ground up: `types`, `space`, `genotype`, `published`, `relax`, `terms`,
`hypergrad`, `select`, `score`, `nets`, `data`, `search`, `methods`, `parallel`, `checkpoint`,
`run`, `retrain`, `report`, `cli`.
"""
