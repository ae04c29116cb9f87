"""Simulation of a cluster: hubs, agents, watchers, a store, a network, all from one seed."""
