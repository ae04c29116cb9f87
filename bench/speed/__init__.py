"""How fast a hub is, against the bare server stack, on the same core in the same run."""
