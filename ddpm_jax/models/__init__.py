"""A trained model: loaded from its checkpoint, and sampled from."""
