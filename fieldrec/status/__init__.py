"""Floor 7: how the box tells people what it does: one board, several channels that format it."""
