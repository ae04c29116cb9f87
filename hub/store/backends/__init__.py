"""Connecting to Redis: standalone, Sentinel, Cluster."""
