"""Layers that respect masks: the parts that the models are built of."""
