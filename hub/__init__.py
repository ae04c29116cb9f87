"""The body: sockets, Redis, the event loop's clock, HTTP and the command line."""
