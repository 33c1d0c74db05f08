"""The classifiers of sequences and profiles, and their file."""
