"""Floor 2: power. What the supplies say (sysfs), what it means (levels), watched (watcher)."""
