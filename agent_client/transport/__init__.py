"""One connection to a hub: dialling it, messages in and out, and which hub comes next."""
