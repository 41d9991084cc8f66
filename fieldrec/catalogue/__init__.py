"""Floor 3: which recordings exist, as the disk tells it, and whether the invariants hold."""
