"""Exported movies as stores: what they say of themselves, and their frames by number and time."""
