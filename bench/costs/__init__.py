"""What things cost: the figures that docs/scale.md calculates with."""
