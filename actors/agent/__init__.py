"""One agent's actor: its messages, its asks, and its record on the way to the log."""
