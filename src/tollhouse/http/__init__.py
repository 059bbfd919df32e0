"""The door: HTTP in, with caps and deadlines; matches routes and hands calls to the relay, knows no format."""
