"""Classifiers of conversations and of the people in them, at three linked levels."""
