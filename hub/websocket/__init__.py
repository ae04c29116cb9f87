"""One websocket: its handshake, frames, protocol, outbox and close."""
