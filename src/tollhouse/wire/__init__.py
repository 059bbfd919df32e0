"""Translation between bytes and the internal representation; no I/O and no clock belong here."""
