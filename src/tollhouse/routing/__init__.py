"""Which deployment answers: pure decisions; time and chance are arguments."""
