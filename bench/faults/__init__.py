"""Scenarios that show, on any machine, that the hub keeps a promise of the contract."""
