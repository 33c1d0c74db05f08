"""LSA: scikit-learn's own vectors, empty and scarce texts, any language, state that gives the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import make_pipeline, make_union

from tenor.encoding import lsa, svd
from tenor.encoding.lsa import LsaEncoder, fit_lsa
from tenor.encoding.messages import Messages
from tenor.errors import CorpusError, UsageError
from tenor.ngrams import NgramSpace
from tenor.seeding import derive_seed

SPACE = NgramSpace(1 << 9, 1 << 10)


def make_texts(number: int, seed: int = 0) -> list[str]:
    generator = np.random.default_rng(seed)
    words = ["alpha", "beta", "gamma", "delta", "I", "you're", "well", "né", "好的", "ok"]
    return [" ".join(generator.choice(words, size=int(generator.integers(1, 12)))) for _ in range(number)]


def test_equals_a_scikit_learn_pipeline() -> None:
    texts, others = make_texts(200), make_texts(50, seed=1)
    hashing = {"alternate_sign": False, "norm": None, "dtype": np.float64}
    pipeline = make_pipeline(
        make_union(
            HashingVectorizer(n_features=512, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **hashing),
            HashingVectorizer(n_features=1024, ngram_range=(2, 4), analyzer="char_wb", **hashing),
        ),
        TfidfTransformer(sublinear_tf=True),
        TruncatedSVD(
            40, n_iter=2, power_iteration_normalizer="LU", random_state=derive_seed(3, "lsa") % 2**32
        ),
    )
    pipeline.fit(texts)
    encoder = fit_lsa(texts, 40, seed=3, space=SPACE)  # of 50 columns, in two slabs
    np.testing.assert_allclose(encoder.encode_texts(others), pipeline.transform(others), atol=2e-6)
    np.testing.assert_allclose(encoder.explained_variance, pipeline[-1].explained_variance_ratio_, atol=1e-7)
    assert 0.5 < encoder.explained_variance.sum() < 1


def test_empty_text_has_the_zero_vector() -> None:
    encoder = fit_lsa([*make_texts(30), ""], 4, space=SPACE)
    vectors = encoder.encode_texts(["", "alpha beta", " \n"])
    np.testing.assert_array_equal(vectors[[0, 2]], 0)
    assert np.abs(vectors[1]).sum() > 0.1


def test_scarce_texts_end_in_zero_columns() -> None:
    encoder = fit_lsa(["alpha beta", "gamma", "delta gamma", ""], 8, space=SPACE)
    assert encoder.input_size == len(encoder.feature_names) == 8
    vectors = encoder.encode_texts(["alpha", "gamma", "something else"])
    assert vectors.shape == (3, 8)
    assert np.abs(vectors[:, :3]).sum() > 0
    np.testing.assert_array_equal(vectors[:, 3:], 0)
    np.testing.assert_array_equal(encoder.explained_variance[3:], 0)


def test_equal_texts_span_one_dimension() -> None:
    """Past the rank of the texts there is rounding noise only, which must not become a feature."""
    vectors = fit_lsa(["alpha beta"] * 40, 6, space=SPACE).encode_texts(["alpha beta", "gamma"])
    assert abs(vectors[0, 0]) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(vectors[:, 1:], 0)


@pytest.mark.parametrize("texts", [["", ""], ["one message"], []])
def test_hardly_any_text_survives(texts: list[str]) -> None:
    encoder = fit_lsa(texts, 3, space=SPACE)
    vectors = encoder.encode_texts(["one message", "other"])
    assert vectors.shape == (2, 3)
    assert np.isfinite(vectors).all()


def test_languages_without_spaces_are_told_apart() -> None:
    weather = ["今天天气很好", "明天天气不好", "天气预报说今天下雨"] * 5
    food = ["我喜欢吃苹果", "他不喜欢吃香蕉", "苹果和香蕉都好吃"] * 5
    encoder = fit_lsa([*weather, *food], 4, space=SPACE)
    vectors = encoder.encode_texts(["今天天气", "明天下雨", "喜欢吃香蕉", "苹果好吃"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = unit @ unit.T
    assert min(similar[0, 1], similar[2, 3]) > max(similar[:2, 2:].max(), 0)


def test_a_vector_depends_on_its_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = make_texts(60)
    encoder = fit_lsa(texts, 8, space=SPACE)
    together = encoder.encode_texts(texts)
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)
    monkeypatch.setattr(lsa, "_TEXTS_PER_TASK", 7)
    np.testing.assert_array_equal(encoder.encode_texts(texts), together)


@pytest.mark.parametrize("cores", [1, 3])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    texts = make_texts(300)
    first = fit_lsa(texts, 70, seed=5, space=SPACE)
    monkeypatch.setattr(svd, "count_cores", lambda: cores)
    np.testing.assert_array_equal(fit_lsa(texts, 70, seed=5, space=SPACE).components, first.components)


def test_state_gives_the_same_bits() -> None:
    texts = make_texts(80)
    encoder = fit_lsa(texts, 8, space=SPACE)
    restored = LsaEncoder.from_tensors(encoder.to_tensors(), SPACE)
    np.testing.assert_array_equal(restored.encode_texts(texts), encoder.encode_texts(texts))
    np.testing.assert_array_equal(restored.idf, encoder.idf)


def test_no_text_is_an_error() -> None:
    encoder = fit_lsa(make_texts(10), 2, space=SPACE)
    messages = Messages(np.array([0, 1]), np.zeros(1, np.int64), np.full(1, np.nan), None)
    with pytest.raises(CorpusError, match=r"encoder lsa reads texts.*import it again with its texts"):
        encoder.encode(messages)


@pytest.mark.parametrize("input_size", [0, -1, SPACE.num_columns + 1])
def test_impossible_size_is_an_error(input_size: int) -> None:
    with pytest.raises(
        UsageError, match=f"input_size: expected 1 to {SPACE.num_columns} .* found {input_size}"
    ):
        fit_lsa(["a"], input_size, space=SPACE)
