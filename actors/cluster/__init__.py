"""This hub's replica of the directory: load, fold, resync, membership and mass loss."""
