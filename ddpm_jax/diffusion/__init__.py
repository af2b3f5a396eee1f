"""Arrays in, arrays out: the mathematics of diffusion. Knows no network, file or device."""
