"""The one way to the shared log: group commit, following it, opening it again."""
