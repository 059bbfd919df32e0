"""Coverage-guided fuzzing of all that reads bytes: `make fuzz`."""
