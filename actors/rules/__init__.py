"""An agent's life as tables and plain functions: no message, no store, no callback."""
