"""Attacks on a hub, each a scenario: what it costs the hub, and what honest agents notice."""
