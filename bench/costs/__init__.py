"""What things cost. The figures that docs/scale.md reckons with."""
