"""Load for websocket servers, as cheap as Python allows: it must never be what is measured."""
