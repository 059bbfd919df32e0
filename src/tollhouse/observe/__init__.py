"""What the operator sees: call records, logs and metrics; no secret and no prompt ever passes through here."""
