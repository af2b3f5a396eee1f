"""Arrays to distances, copies, likelihoods and worth."""
