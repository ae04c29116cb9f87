"""What all bare servers share."""

BACKLOG = 4096
"""Connections that may wait to be accepted, as many as a hub's listener lets wait."""
