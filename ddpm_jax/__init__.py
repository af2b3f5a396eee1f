"""From a labelled image dataset to a diffusion model, a synthetic dataset, and what that is worth."""
