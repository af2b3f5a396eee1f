"""What a run will take of its machine. A training does not depend on it."""
