"""The command line: serve, check, simulate, migrate, and the same accounts a running gateway uses."""
