"""Gates of architecture parameters: relaxations, masks, samplers, perturbations."""
