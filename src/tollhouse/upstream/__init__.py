"""The way out: HTTP to providers, with time limits and caps; knows no format and no dialect."""
