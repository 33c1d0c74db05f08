"""The lexical model against scikit-learn's own pipeline, by hand, and where there is little to learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from tenor import lexical
from tenor.errors import UsageError
from tenor.lexical import (
    LexicalModel,
    assign_folds,
    count_texts,
    fit_lexical,
    fit_out_of_fold,
    fitting,
)
from tenor.lexical.logistic import fit_logistic
from tenor.lexical.weighting import weigh

WORDS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma".split()
)


def make_texts(num_texts: int = 200, num_classes: int = 2, seed: int = 0) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(num_texts) % num_classes
    texts = []
    for label in labels:
        words = [str(word) for word in generator.choice(WORDS, size=12)]
        words += [f"tell{'abcde'[label]}"] * int(generator.random() < 0.8)
        texts.append(" ".join(words[:6]) + "\n" + " ".join(words[6:]))
    return texts, labels


def test_logits_equal_the_pipeline_of_scikit_learn() -> None:
    """Same n-grams, document frequency of at least 2, idf, lengths and solver, only with a vocabulary."""
    texts, labels = make_texts()
    train, test = texts[:150], texts[150:]
    parts = []
    for vectorizer in (
        CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+|[^\w\s]+|\n", min_df=2),
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=2),
    ):
        transform = TfidfTransformer(sublinear_tf=True)
        fitted = transform.fit_transform(vectorizer.fit_transform(train))
        length = 1.5 if not parts else 1.0
        parts.append((length * fitted, length * transform.transform(vectorizer.transform(test))))
    logistic = LogisticRegression(C=1.0, solver="liblinear", dual=True, tol=1e-8, max_iter=100_000)
    logistic.fit(hstack([fitted for fitted, _ in parts]), labels[:150])
    expected = logistic.decision_function(hstack([transformed for _, transformed in parts]))
    found = fit_lexical(train, labels[:150]).logits(test)
    assert found.shape == (50,)
    differences = np.abs(found - expected)
    assert (
        differences < 0.01
    ).mean() >= 0.9  # the others hold n-grams unseen in training that share a column
    assert differences.max() < 0.1


def out_of_fold_logits(*args: Any, strength: float = lexical.DEFAULT_STRENGTH, **options: Any) -> np.ndarray:  # noqa: ANN401 - handed on
    """The logits out of fold where there is one strength to choose from."""
    return fit_out_of_fold(*args, recipe=fitting.Recipe("tfidf", (strength,), strength), **options)[1]


def test_counted_texts_and_texts_give_the_same() -> None:
    texts, labels = make_texts()
    counts = count_texts(texts)
    model = fit_lexical(texts, labels)
    assert fit_lexical(counts, labels).logits(counts).tobytes() == model.logits(texts).tobytes()
    groups = [f"g{i // 2}" for i in range(len(texts))]
    np.testing.assert_array_equal(
        out_of_fold_logits(counts, labels, groups, seed=3), out_of_fold_logits(texts, labels, groups, seed=3)
    )


def test_a_score_does_not_depend_on_the_other_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    from tenor.lexical import model as model_module

    texts, labels = make_texts(60)
    model = fit_lexical(texts, labels)
    together = model.logits(texts)
    assert [model.logits([text])[0] for text in texts] == together.tolist()
    monkeypatch.setattr(model_module, "_TEXTS_AT_A_TIME", 7)
    assert model.logits(texts).tobytes() == together.tobytes()
    assert model.logits(count_texts(texts)).tobytes() == together.tobytes()


@pytest.mark.parametrize("num_classes", [3, 5])
def test_several_classes(num_classes: int) -> None:
    texts, labels = make_texts(200, num_classes)
    model = fit_lexical(texts[:150], labels[:150], num_classes=num_classes)
    logits = model.logits(texts[150:])
    assert logits.shape == (50, num_classes)
    assert (logits.argmax(axis=1) == labels[150:]).mean() > 0.6
    assert model.logits([]).shape == (0, num_classes)


def test_a_class_without_texts_gets_the_lowest_logit_by_far() -> None:
    texts, labels = make_texts(120, 3)
    for classes, absent in ((labels, 3), (np.where(labels == 2, 3, labels), 2)):
        logits = fit_lexical(texts, classes, num_classes=4).logits(texts)
        assert np.isfinite(logits).all()
        assert (logits.argmin(axis=1) == absent).mean() > 0.95
    two = fit_lexical(texts, np.where(labels == 0, 0, 2), num_classes=3).logits(texts)
    assert ((two[:, 2] > two[:, 0]) == (labels != 0)).mean() > 0.8
    assert (two[:, 1] < two.max(axis=1)).all()


def test_one_class_gives_the_smoothed_log_odds() -> None:
    texts, _ = make_texts(9)
    np.testing.assert_allclose(fit_lexical(texts, [1] * 9).logits(texts), [np.log(9.5 / 0.5)] * 9, rtol=1e-6)
    np.testing.assert_allclose(fit_lexical(texts, [-1] * 9).logits(texts), np.zeros(9))
    three = fit_lexical(texts, [2] * 9, num_classes=3).logits(texts)
    np.testing.assert_allclose(three[:, 2] - three[:, 0], np.log(9.5 / 0.5), rtol=1e-6)


def test_texts_without_any_ngram() -> None:
    texts, labels = make_texts(20)
    model = fit_lexical(texts, labels)
    np.testing.assert_allclose(model.logits(["", " \t ", "漢"]), [model.intercept[0]] * 3, rtol=1e-6)
    assert fit_lexical([""] * 6, [0, 1] * 3).logits([""]).tolist() == [0.0]
    assert fit_lexical([], np.zeros(0, np.int64)).logits([]).shape == (0,)


def test_a_language_without_spaces() -> None:
    generator = np.random.default_rng(0)
    letters = list("日月火水木金土山川田人口目耳手足")
    labels = np.arange(200) % 2
    texts = ["".join(generator.choice(letters, 20)) + ("大小" if label else "中上") for label in labels]
    texts = [text[10:] + text[:10] for text in texts]
    assert roc_auc_score(labels[100:], fit_lexical(texts[:100], labels[:100]).logits(texts[100:])) > 0.95


def test_unlabelled_texts_change_nothing() -> None:
    texts, labels = make_texts()
    model = fit_lexical(texts, labels)
    more = fit_lexical([*texts, "something else entirely"], [*labels, -1])
    assert model.coefficients.tobytes() == more.coefficients.tobytes()


def test_tensors_return_unchanged() -> None:
    texts, labels = make_texts(60, 3)
    model = fit_lexical(texts, labels, num_classes=3)
    tensors = model.to_tensors()
    again = LexicalModel.from_tensors(tensors)
    assert again.logits(texts).tobytes() == model.logits(texts).tobytes()
    assert {name: array.tobytes() for name, array in again.to_tensors().items()} == {
        name: array.tobytes() for name, array in tensors.items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"idf": None}, "expected the tensors columns, idf, coefficients, intercept, space"),
        ({"space": np.array([1 << 18, 1 << 18, 2, 5, 0, 100])}, "found [262144, 262144, 2, 5, 0, 100]"),
        ({"more": np.zeros(1)}, "expected the tensors"),
        ({"idf": np.zeros(3)}, "idf: expected float32, found float64"),
        ({"idf": np.array([1, np.nan, 1], np.float32)}, "idf: expected finite"),
        ({"idf": np.zeros(2, np.float32)}, "do not fit together"),
        ({"intercept": np.zeros(2, np.float32)}, "do not fit together"),
        ({"coefficients": np.zeros(3, np.float32)}, "expected columns (K,), coefficients (K, C)"),
        ({"columns": np.array([5, 2, 9])}, "columns: expected ascending"),
        ({"columns": np.array([-5, 2, 9])}, "columns: expected ascending"),
        ({"columns": np.array([5, 7, 1 << 19])}, "columns: expected ascending"),
    ],
)
def test_hostile_tensors_raise(change: dict, message: str) -> None:
    tensors = {
        "columns": np.array([2, 5, 9]),
        "idf": np.ones(3, np.float32),
        "coefficients": np.zeros((3, 1), np.float32),
        "intercept": np.zeros(1, np.float32),
        "space": np.array([1 << 18, 1 << 18, 2, 4, 1, 150]),
    }
    assert LexicalModel.from_tensors(tensors).logits(["a b c"]).tolist() == [0.0]
    changed = {name: array for name, array in (tensors | change).items() if array is not None}
    with pytest.raises(UsageError) as caught:
        LexicalModel.from_tensors(changed)
    assert message in str(caught.value)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_contributions_sum_to_the_logit(num_classes: int) -> None:
    texts, labels = make_texts(90, num_classes)
    model = fit_lexical(texts, labels, num_classes=num_classes)
    text = texts[1] + "\nNEVER seen Ünïcode, tella tella 漢字"
    contributions = model.contributions(text)
    total = sum(weight for _, weight in contributions) + (
        model.intercept[0] if num_classes == 2 else model.intercept
    )
    np.testing.assert_allclose(total, model.logits([text])[0], atol=1e-5)
    sizes = [np.abs(weight).max() for _, weight in contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_the_planted_word_contributes_most() -> None:
    texts, labels = make_texts()
    model = fit_lexical(texts, labels)
    top = [(ngram, weight) for ngram, weight in model.contributions("alpha tellb")[:5]]
    assert all(weight > 0 and "b" in ngram for ngram, weight in top)
    assert "tellb" in [ngram for ngram, _ in top]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_message_contributions_sum_to_the_logit(num_classes: int) -> None:
    texts, labels = make_texts(120, num_classes)
    model = fit_lexical(texts, labels, num_classes=num_classes)
    messages = ["alpha beta telL", "", "!?", "b gamma", " ", "tellb tellb alpha", "Größe ΑΣ", "Β 字𝒳 İ"]
    found = model.message_contributions(messages)
    assert found.shape == ((8,) if num_classes == 2 else (8, num_classes))
    logit = model.logits(["\n".join(messages)])[0]
    np.testing.assert_allclose(
        found.sum(axis=0) + (model.intercept[0] if num_classes == 2 else model.intercept), logit, atol=1e-9
    )
    assert np.abs(found[1]).max() < 0.05 * np.abs(found).max()  # of an empty message only its line end counts


def test_a_pair_across_messages_counts_half_for_each() -> None:
    """By hand from the n-grams of the lines together; a line end belongs to the message after it."""
    model = fit_lexical(["alpha\ntellb", "alpha\ntellb", "beta", "gamma"], [1, 1, 0, 0])
    messages = ["alpha", "--", "tellb"]
    expected, ngrams = np.zeros(3), dict(model.contributions("\n".join(messages)))
    assert {"alpha \n", "\n", "\n tellb"} < ngrams.keys()
    for ngram, weight in ngrams.items():
        if ngram == "alpha \n":
            expected[[0, 1]] += weight / 2
        elif ngram == "\n":
            expected[[1, 2]] += weight / 2
        else:
            expected[0 if ngram.strip() in "alpha" else 2] += weight
    np.testing.assert_allclose(model.message_contributions(messages), expected, atol=1e-12)
    assert model.message_contributions([]).shape == (0,)


def test_out_of_fold_logits_come_from_a_model_without_the_group_s_labels() -> None:
    texts, labels = make_texts(60)
    groups = np.array([f"g{i // 3}" for i in range(60)], dtype=object)
    codes = assign_folds(labels, groups, seed=5)
    logits = out_of_fold_logits(texts, labels, groups, seed=5)
    space = fit_lexical(texts, labels)  # whose n-grams and idf are those of all texts
    weights = weigh(count_texts(texts), space.columns, space.idf, "tfidf")
    for fold in range(5):
        others, held_out = np.flatnonzero(codes != fold), np.flatnonzero(codes == fold)
        coefficients, intercept = fit_logistic(
            weights[others], labels[others], np.bincount(labels[others]), lexical.DEFAULT_STRENGTH
        )
        expected = (weights[held_out] @ coefficients + intercept)[:, 0]
        np.testing.assert_allclose(logits[held_out], expected, atol=1e-5)  # coefficients are float32


def test_the_strength_is_the_best_out_of_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = make_texts(120)
    groups = [f"g{i // 2}" for i in range(120)]
    losses = {}
    for strength in lexical.STRENGTHS:
        logits = out_of_fold_logits(texts, labels, groups, seed=1, strength=strength)
        losses[strength] = np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean()
    best = min(losses, key=losses.get)
    assert best not in (lexical.STRENGTHS[0], lexical.DEFAULT_STRENGTH)
    model, logits = fit_out_of_fold(texts, labels, groups, seed=1)
    np.testing.assert_array_equal(logits, out_of_fold_logits(texts, labels, groups, seed=1, strength=best))
    assert model.logits(texts).tobytes() == fit_lexical(texts, labels, strength=best).logits(texts).tobytes()
    # Of a corpus larger than this fewer folds are compared; all are scored.
    monkeypatch.setattr(fitting, "_NGRAMS_TO_CHOOSE_BY", 1)
    assert (fit_out_of_fold(texts, labels, groups, seed=1)[1] != 0).all()


def test_noise_is_held_tightly() -> None:
    generator = np.random.default_rng(2)
    texts = [" ".join(generator.choice(WORDS, 10)) for _ in range(200)]
    labels = generator.integers(0, 2, 200)
    model, _ = fit_out_of_fold(texts, labels, [str(i) for i in range(200)], seed=0)
    expected = fit_lexical(texts, labels, strength=lexical.STRENGTHS[0])
    assert model.coefficients.tobytes() == expected.coefficients.tobytes()
    assert fit_out_of_fold([], [], [], seed=0)[1].shape == (0,)


def test_out_of_fold_logits_of_noise_carry_no_label() -> None:
    generator = np.random.default_rng(1)
    texts = [" ".join(generator.choice(WORDS, 10)) for _ in range(400)]
    labels = generator.integers(0, 2, 400)
    groups = [f"g{i // 2}" for i in range(400)]
    assert roc_auc_score(labels, fit_lexical(texts, labels).logits(texts)) > 0.9
    assert 0.4 < roc_auc_score(labels, out_of_fold_logits(texts, labels, groups, seed=0)) < 0.6


def test_folds_hold_whole_groups_and_are_stratified() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random(500) < 0.04).astype(int)
    groups = np.array([f"g{i}" for i in range(500)], dtype=object)
    folds = assign_folds(labels, groups, seed=1, folds=5)
    assert np.bincount(folds).tolist() == [100] * 5
    positives = np.bincount(folds, weights=labels)
    assert positives.max() - positives.min() <= 1
    order = generator.permutation(500)
    np.testing.assert_array_equal(assign_folds(labels[order], groups[order], seed=1), folds[order])
    assert (assign_folds(labels, groups, seed=2) != folds).any()
    few = assign_folds(np.arange(12) % 2, np.array(["a", "b", "c"] * 4, dtype=object), seed=0)
    assert sorted(set(few)) == [0, 1, 2]
    assert all(len(set(few[i::3])) == 1 for i in range(3))


def test_a_fold_whose_others_have_one_class() -> None:
    texts, _ = make_texts(6)
    labels = [0, 0, 0, 0, 0, 1]
    groups = ["a", "b", "c", "d", "e", "f"]
    logits = out_of_fold_logits(texts, labels, groups, seed=0)
    assert np.isfinite(logits).all()
    assert logits[5] < -2  # scored by a model that saw label 0 only
    assert out_of_fold_logits(texts, labels, ["one"] * 6, seed=0).tolist() == [0.0] * 6
    assert out_of_fold_logits([], [], [], seed=0, num_classes=3).shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1], {}, "expected integer labels (3,), found int64 (2,)"),
        ([0.0, 1.0, 0.0], {}, "found float64 (3,)"),
        ([0, 1, 2], {}, "expected labels in [-1, 2), found 0 to 2"),
        ([0, 1, 0], {"num_classes": 1}, "expected at least 2 classes, found 1"),
    ],
)
def test_bad_labels_raise(labels: list, options: dict, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        fit_lexical(["a", "b", "c"], labels, **options)
    assert message in str(caught.value)


def test_bad_groups_raise() -> None:
    with pytest.raises(UsageError, match=r"expected groups \(2,\), found \(1,\)"):
        out_of_fold_logits(["a", "b"], [0, 1], ["x"], seed=0)
    with pytest.raises(UsageError, match="at least 2 folds, found 1"):
        assign_folds([0, 1], ["x", "y"], seed=0, folds=1)


def test_a_text_of_megabytes() -> None:
    generator = np.random.default_rng(0)
    long = " ".join(generator.choice(WORDS, 200_000))
    texts, labels = make_texts(20)
    model = fit_lexical([*texts, long], [*labels, 1])
    assert np.isfinite(model.logits([long])).all()
