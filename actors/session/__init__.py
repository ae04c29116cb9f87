"""One websocket's conversation: order, back-pressure, keepalive, queries and watches."""
