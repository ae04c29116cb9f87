"""One agent's session: registering, resuming and heartbeating over lost connections."""
