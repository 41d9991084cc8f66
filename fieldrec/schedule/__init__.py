"""When things are due: Motif's cron dialect, windows by clock and sun, and the tasks they drive."""
