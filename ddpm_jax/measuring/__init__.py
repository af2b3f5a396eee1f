"""From arrays to distances, copies, likelihoods and worth."""
