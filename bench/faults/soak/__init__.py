"""The soak: peers that come and go, and what is left of them once they have gone."""
