"""Counting tokens without the network."""
