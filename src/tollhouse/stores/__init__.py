"""Where things are kept: each store implements the protocols that its consumers own."""
