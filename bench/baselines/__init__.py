"""Bare servers to compare hubs with: the same libraries, without anything that a hub does."""
