"""From the scores of sequences to the scores of profiles.

``fixed``: mean, median and votes, and the labels of profiles; ``profiles``: which sequences make a profile;
``learned``: aggregations fitted on training authors. Files, models and metrics are not known here.
"""
