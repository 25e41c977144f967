"""Differentiable neural architecture search on JAX.

Modules, from the ground up: `types`, `space`, `genotype`, `settings`, `relax`, `terms`,
`hypergrad`, `published`, `select`, `score`, `nets`, `data`, `checkpoint`, `timing`, `validate`,
`custom`, `search`, `catalogue`, `methods`, `parallel`, `run`, `report`, `check`, `find`,
`retrain`, `cli`.
"""
