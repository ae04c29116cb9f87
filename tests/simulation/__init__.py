"""Deterministic simulation: several hubs, agents, watchers, a store and a network, from one seed."""
