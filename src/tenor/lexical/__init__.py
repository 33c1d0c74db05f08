"""Linear models of texts: hashed n-grams, by TF-IDF or by presence, and how a text is written, whatever its words.

``weighting``: texts to weighted columns; ``logistic``: their coefficients; ``model``: the fitted state, its logits and
what they are made of; ``fitting``: fitting and scoring out of fold; ``peaks``: the same for the strongest message of a
sequence; ``surface``: lengths, punctuation, turns and delays; ``spoken``: messages counted once for all who
read them; ``prior``: several such models, one for each part in a conversation, and one of the surface. The prior's
logits are what a SequenceClassifier corrects; those of one model of the whole text are a baseline. Files are not
known here, and corpora only to ``prior``, ``spoken`` and ``surface``.
"""

from tenor.lexical.fitting import DEFAULT_STRENGTH as DEFAULT_STRENGTH
from tenor.lexical.fitting import STRENGTHS as STRENGTHS
from tenor.lexical.fitting import assign_folds as assign_folds
from tenor.lexical.fitting import fit_lexical as fit_lexical
from tenor.lexical.fitting import fit_out_of_fold as fit_out_of_fold
from tenor.lexical.model import LexicalModel as LexicalModel
from tenor.lexical.prior import LexicalPrior as LexicalPrior
from tenor.lexical.prior import Part as Part
from tenor.lexical.prior import fit_parts as fit_parts
from tenor.lexical.prior import parts_of as parts_of
from tenor.lexical.surface import SurfaceModel as SurfaceModel
from tenor.lexical.surface import describe_surface as describe_surface
from tenor.lexical.weighting import count_texts as count_texts
