"""Flax modules. They know no schedule and no loss."""
