"""Trains any `loss_fn(params, batch, key) -> (loss, metrics)`; knows nothing of diffusion."""
