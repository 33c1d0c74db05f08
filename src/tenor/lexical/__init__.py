"""Linear models of texts: hashed n-grams, by TF-IDF or by presence, and how a text is written, whatever its words.

``weighting``: texts to weighted columns; ``logistic``: their coefficients; ``model``: the fitted state, its logits and
what they are made of; ``familiarity``: how much of a text is known; ``fitting``: fitting and scoring out of fold;
``helpers``: the same on other cores; ``peaks``: the same for the strongest message of a sequence; ``parts``: which
texts of a sequence such models read; ``authors``: models of the people in a conversation, and what they say of it;
``surface``: lengths, punctuation, turns and delays; ``spoken``: messages counted once for all who read them;
``prior``: all of these, added up. The prior's logits are what
a SequenceClassifier corrects; those of one model of the whole text are a baseline. Files are not known here, and
corpora only to ``parts``, ``prior``, ``spoken`` and ``surface``.
"""

from tenor.lexical.authors import AuthorsModel as AuthorsModel
from tenor.lexical.authors import read_out as read_out
from tenor.lexical.familiarity import summarize_shares as summarize_shares
from tenor.lexical.fitting import DEFAULT_STRENGTH as DEFAULT_STRENGTH
from tenor.lexical.fitting import STRENGTHS as STRENGTHS
from tenor.lexical.fitting import assign_folds as assign_folds
from tenor.lexical.fitting import fit_lexical as fit_lexical
from tenor.lexical.fitting import fit_out_of_fold as fit_out_of_fold
from tenor.lexical.helpers import Helpers as Helpers
from tenor.lexical.helpers import count_helpers as count_helpers
from tenor.lexical.model import LexicalModel as LexicalModel
from tenor.lexical.parts import AUTHOR_PARTS as AUTHOR_PARTS
from tenor.lexical.parts import Part as Part
from tenor.lexical.parts import find_parts as find_parts
from tenor.lexical.parts import fit_parts as fit_parts
from tenor.lexical.parts import parts_of as parts_of
from tenor.lexical.parts import start_parts as start_parts
from tenor.lexical.prior import LexicalPrior as LexicalPrior
from tenor.lexical.surface import SurfaceModel as SurfaceModel
from tenor.lexical.surface import describe_surface as describe_surface
from tenor.lexical.weighting import count_texts as count_texts
