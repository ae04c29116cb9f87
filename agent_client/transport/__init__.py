"""One connection to a hub: which hub to dial, dialling it, and the messages in and out."""
