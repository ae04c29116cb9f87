"""The one port: sockets, uvicorn's HTTP protocol, whole responses, limits, the caller."""
