"""Who is calling: workspaces, keys and what a call may do; no money and no store of its own."""
