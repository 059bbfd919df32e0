"""One call from door to door: the only place where the parts meet; no vendor, plan or price name belongs here."""
