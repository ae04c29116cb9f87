"""Mailboxes, deadlines and stall detection; knows nothing of agents."""
