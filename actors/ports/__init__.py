"""What the brain needs from the world: clock, link, store and observer."""
