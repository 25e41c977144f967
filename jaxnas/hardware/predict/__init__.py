"""From measurements of some networks to a predictor of all."""
