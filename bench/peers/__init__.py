"""Who talks to a hub in a run: agents and watchers, raw ones that cost little and real clients."""
