"""The soak: a fleet that never stands still, and what is left of it once it has gone."""
