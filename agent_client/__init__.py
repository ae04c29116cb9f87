"""What agents and callers import."""
