"""The newest part of the log, and the watches that follow it."""
