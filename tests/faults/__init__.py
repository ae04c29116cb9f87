"""Faults done to real processes: hubs, agents, a store and the network between them.

`pytest tests/faults` does each fault once; `python -m tests.faults` many times, and prints a table.
"""
