"""Floor 2: the imgstore directory format: write it, read it, mend it. Every call blocks."""
