"""The corpus: conversations on disk with their splits, and the views of them that models read."""
