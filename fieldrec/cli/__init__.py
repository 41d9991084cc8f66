"""Floor 9: the commands, one file per group of verbs."""
