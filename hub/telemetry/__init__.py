"""Logs, metrics, the observer of the brain, the metered store."""
