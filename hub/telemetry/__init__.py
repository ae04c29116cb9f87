"""Logs and metrics, and the two places that feed them: the brain's observer, the metered store."""
