"""The peers of hubs: agents, watchers and callers, raw ones that cost little and real ones."""
