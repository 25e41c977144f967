"""Architecture parameters to gates: relaxations, masks, samplers, perturbations."""
