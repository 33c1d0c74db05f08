"""How good scores are, how sure that is, and where the threshold stands: arrays in, numbers out."""
