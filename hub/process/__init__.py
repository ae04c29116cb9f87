"""A hub as a process: how its parts are made, started and stopped; workers, namespaces, clock."""
