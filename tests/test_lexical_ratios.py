"""Words by naive Bayes' log-count ratios: against loops and scikit-learn, and where the ratios are worth having."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tenor.errors import UsageError
from tenor.lexical import LexicalModel, fit_out_of_fold
from tenor.lexical.fitting import BAYES
from tenor.lexical.logistic import count_ratios, fit_ratios
from tenor.lexical.weighting import SPACE, count_texts, weigh

Groups = list[str]


def draw_texts(count: int, num_classes: int = 2, seed: int = 0) -> tuple[list[str], np.ndarray, Groups]:
    """Long texts of a Zipfian vocabulary, each class with a slight taste for words of its own: many weak signs."""
    generator = np.random.default_rng(seed)
    labels, size = np.arange(count) % num_classes, 600
    common = 1.0 / np.arange(1, size + 1)
    texts = []
    for label in labels:
        taste = np.where(np.arange(size) % num_classes == label, 1.35, 1.0) * common
        words = generator.choice(size, size=generator.integers(40, 160), p=taste / taste.sum())
        texts.append(" ".join(f"w{word}" for word in words))
    return texts, labels, [f"g{index}" for index in range(count)]


def test_ratios_equal_a_loop_over_texts() -> None:
    presence = csr_matrix(np.random.default_rng(0).integers(0, 2, size=(20, 7)).astype(float))
    is_class = np.arange(20) % 3 == 0
    counts = {True: Counter(range(7)), False: Counter(range(7))}  # each column once more
    for row, inside in zip(presence.toarray(), is_class.tolist(), strict=True):
        counts[inside].update(np.flatnonzero(row).tolist())
    expected = [
        log(counts[True][column] / counts[True].total()) - log(counts[False][column] / counts[False].total())
        for column in range(7)
    ]
    np.testing.assert_allclose(count_ratios(presence, is_class), expected, atol=1e-12)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_coefficients_are_those_of_scaled_columns(num_classes: int) -> None:
    """One class of four has no texts."""
    texts, labels, _ = draw_texts(90, min(num_classes, 3))
    presence, dense = make_presence(texts)
    frequencies = np.bincount(labels, minlength=num_classes)
    coefficients, intercepts = fit_ratios(presence, labels, frequencies, 0.1)
    for place, name in enumerate([1] if num_classes == 2 else range(3)):
        ratios = count_ratios(presence, labels == name)
        model = LogisticRegression(
            C=0.1, solver="liblinear", dual=True, tol=1e-8, max_iter=100_000, intercept_scaling=10
        )
        model.fit(dense * ratios, labels == name)
        expected = model.decision_function(dense * ratios)
        np.testing.assert_allclose(dense @ coefficients[:, place] + intercepts[place], expected, atol=0.02)
    if num_classes == 4:  # that of half a text, where the others' are of 30
        assert not coefficients[:, 3].any()
        assert intercepts[3] == pytest.approx(intercepts[:3].mean() + log(0.5 / 30))


def test_two_classes_are_told_apart_as_surely_where_a_third_is_absent() -> None:
    texts, labels, _ = draw_texts(90)
    presence, dense = make_presence(texts)
    two, intercept = fit_ratios(presence, labels, np.bincount(labels), 0.1)
    three, intercepts = fit_ratios(presence, labels, np.bincount(labels, minlength=3), 0.1)
    logits = dense @ three + intercepts
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], dense @ two[:, 0] + intercept[0], atol=1e-9)


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_text_that_says_nothing_has_the_base_rate(share: float) -> None:
    """Not near .5, with the words of long texts carrying what positives are rare by."""
    texts, _, groups = draw_texts(1000)
    labels = (np.random.default_rng(3).random(1000) < share).astype(int)
    model, _ = fit_out_of_fold(texts, labels, groups, seed=0, recipe=BAYES)
    base = log(labels.sum() / (1000 - labels.sum()))
    assert model.logits([""])[0] == pytest.approx(base, abs=1.9)


def make_presence(texts: list[str]) -> tuple[csr_matrix, np.ndarray]:
    """Which words occur in which texts, as tenor has it and as a dense table."""
    counts = count_texts(texts)
    columns = np.unique(counts.indices[counts.indices < SPACE.word_columns]).astype(np.int64)
    presence = weigh(counts, columns, np.ones(len(columns), np.float32), "presence")
    dense = (counts[:, columns].toarray() > 0).astype(float)
    assert np.array_equal(presence.toarray(), dense)
    return presence, dense


def test_folds_do_not_see_the_ratios_of_their_own_texts() -> None:
    """Labels without a pattern: ratios counted on all texts would seem to know them."""
    texts, labels, groups = draw_texts(200)
    shuffled = np.random.default_rng(1).permutation(labels)
    model, unseen = fit_out_of_fold(texts, shuffled, groups, seed=0, recipe=BAYES)
    assert 0.35 < roc_auc_score(shuffled, unseen) < 0.65
    assert roc_auc_score(shuffled, model.logits(texts)) > 0.8
    _, found = fit_out_of_fold(texts, labels, groups, seed=0, recipe=BAYES)
    assert roc_auc_score(labels, found) > 0.7


@pytest.mark.parametrize("num_classes", [2, 3])
def test_contributions_sum_to_the_logit(num_classes: int) -> None:
    texts, labels, groups = draw_texts(120, num_classes)
    model, _ = fit_out_of_fold(texts, labels, groups, seed=0, num_classes=num_classes, recipe=BAYES)
    messages = [texts[1], "", "w1 w2 w2 Never seen", "w1 w5"]
    logit = model.logits(["\n".join(messages)]).reshape(-1)
    by_message = model.message_contributions(messages).reshape(len(messages), -1)
    np.testing.assert_allclose(by_message.sum(axis=0) + model.intercept, logit, atol=1e-9)
    by_ngram = np.array([np.atleast_1d(weight) for _, weight in model.contributions("\n".join(messages))])
    np.testing.assert_allclose(by_ngram.sum(axis=0) + model.intercept, logit, atol=1e-9)
    assert all(not ngram.startswith(" ") for ngram, _ in model.contributions(texts[1]))  # words alone


def test_tensors_come_back_and_columns_that_cannot_be_are_refused() -> None:
    texts, labels, groups = draw_texts(60)
    model, _ = fit_out_of_fold(texts, labels, groups, seed=0, recipe=BAYES)
    tensors = model.to_tensors()
    again = LexicalModel.from_tensors(tensors)
    assert again.weighting == "presence"
    assert again.logits(texts).tobytes() == model.logits(texts).tobytes()
    columns = np.append(model.columns[:-1], SPACE.num_columns)
    with pytest.raises(UsageError, match="ascending numbers in \\[0, 524288\\)"):
        LexicalModel.from_tensors({**tensors, "columns": columns})
    with pytest.raises(UsageError, match="idf: expected ones"):
        LexicalModel.from_tensors({**tensors, "idf": 2 * tensors["idf"]})
    with pytest.raises(UsageError, match="space: expected the n-grams"):
        LexicalModel.from_tensors({**tensors, "space": np.array(3)})


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [-1, -1, -1, -1], [0, 1, 0, 1]])
def test_where_there_is_nothing_to_count_the_model_is_constant(labels: list[int]) -> None:
    model, unseen = fit_out_of_fold(["a", "b", "", "d"], np.array(labels), list("wxyz"), seed=0, recipe=BAYES)
    assert np.isfinite(unseen).all()
    assert np.ptp(model.logits(["a", "a b", ""])) == 0
