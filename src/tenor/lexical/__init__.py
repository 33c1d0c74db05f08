"""A linear model of texts: hashed n-grams, TF-IDF, logistic regression.

``weighting``: texts to weighted columns; ``model``: the fitted state, its logits and what they are made of;
``fitting``: fitting and scoring out of fold. Its logits are the prior that a SequenceClassifier corrects, and by
themselves a baseline. Corpora, conversations and files are not known here.
"""

from tenor.lexical.fitting import DEFAULT_STRENGTH as DEFAULT_STRENGTH
from tenor.lexical.fitting import STRENGTHS as STRENGTHS
from tenor.lexical.fitting import assign_folds as assign_folds
from tenor.lexical.fitting import fit_lexical as fit_lexical
from tenor.lexical.fitting import fit_out_of_fold as fit_out_of_fold
from tenor.lexical.fitting import out_of_fold_logits as out_of_fold_logits
from tenor.lexical.model import LexicalModel as LexicalModel
from tenor.lexical.weighting import count_texts as count_texts
