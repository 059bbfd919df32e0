"""`make clients`: programs of others, unmodified, against a gateway whose upstreams speak each of the formats."""
