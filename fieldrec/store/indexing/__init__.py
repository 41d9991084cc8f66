"""Which frames a store has and where: from each chunk's index to one mapped file for all."""
