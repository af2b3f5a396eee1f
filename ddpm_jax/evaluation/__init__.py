"""Features in, numbers out: how far two sets of images are apart."""
