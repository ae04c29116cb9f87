"""Bare servers to measure ours against: the same libraries, and nothing of what a hub does."""
