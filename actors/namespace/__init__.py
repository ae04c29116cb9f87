"""The face of one namespace: its supervisor, and the actors by their agents' ids."""
