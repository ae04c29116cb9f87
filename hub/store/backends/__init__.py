"""How to reach Redis: standalone, Sentinel, Cluster."""
