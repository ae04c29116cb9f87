"""What things cost: `python -m bench.costs`. The figures that docs/scale.md reckons with."""
