"""The one port: sockets, uvicorn's HTTP protocol, whole answers, limits, who calls."""
