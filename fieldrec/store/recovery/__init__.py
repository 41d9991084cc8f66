"""What becomes of stores that a crash, a full disk or a bad copy left behind."""
