"""Why a score is what it is: the share of each message, n-gram or conversation in it, and how far to trust that.

``sequences``: one sequence's messages; ``profiles``: one author's conversations; ``curves``: do explanations
find what matters; ``worst``: the most wrong predictions with their messages; ``records``: the results.
"""
