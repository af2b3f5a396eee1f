"""A trained model: loaded from its checkpoint, and drawn from."""
