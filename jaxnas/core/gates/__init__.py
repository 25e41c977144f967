"""Architecture parameters to gates: relaxations, draws, masks, samplers."""
