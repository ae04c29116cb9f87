"""One websocket: handshake, frames, protocol, outbox, end."""
