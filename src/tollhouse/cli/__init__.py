"""The command line: serve, check, simulate, migrate, and the same accounts a running gateway uses."""

from tollhouse.cli.app import main

__all__ = ["main"]
