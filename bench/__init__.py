"""What a call costs through Tollhouse, against a bare reverse proxy in the same run; start it with `make bench`."""
