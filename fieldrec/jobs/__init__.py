"""Floor 5: deferred work: which jobs there are, when they may run, and what they do."""
