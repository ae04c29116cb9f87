"""HTTP: the legacy registry's routes, and the hub's own pages for operators and tools."""
