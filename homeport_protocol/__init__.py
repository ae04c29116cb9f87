"""The contract: what travels between agents, callers and hubs, and what is stored.

Everything here is a type or a pure function; the package imports msgspec and nothing else.
"""
