"""A room: one service, one key a person, everybody their own work."""
