"""What can be called: providers, models and prices as data; no I/O but reading the catalogue's file."""
