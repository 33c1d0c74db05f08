"""Training: from an audited corpus to one model file."""
