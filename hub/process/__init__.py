"""A hub as a process: its parts, start, stop, workers, namespaces, clock."""
