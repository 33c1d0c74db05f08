from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus import sampling
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.views import SequenceView, view_sequences
from tenor.errors import UsageError
from tenor.lexical import LexicalPrior, describe_surface, fit_lexical
from tenor.lexical.surface import SURFACE_FEATURES, SurfaceModel
from tenor.linear import LinearModel

TEXTS = [
    "Hello there!",
    "",
    "WHY not?",
    "ÄÖ ab12",
    "好 你好吗？",
    "...",
    "ok",
    "nein, danke",
    "No！",
    "a-b c",
]
Loop = Callable[..., dict[str, float]]


def make_records(count: int = 40) -> list[dict[str, Any]]:
    """Conversations of one to four authors; of every third no message has a time, of the others some have none."""
    generator = np.random.default_rng(0)
    records = []
    for index in range(count):
        names = "abcd"[: 1 + index % 4]
        messages: list[dict[str, Any]] = []
        for place in range(int(generator.integers(1, 12))):
            author = names[place] if place < len(names) else str(generator.choice(list(names)))
            messages.append({"author": author, "text": str(generator.choice(TEXTS))})
            if index % 3 and generator.random() < 0.8:
                messages[-1]["timestamp"] = float(generator.integers(0, 200_000))  # in no order
        records.append({"conversation_id": f"c{index}", "messages": messages, "label": index % 2})
    records.append({"conversation_id": "silent", "messages": [], "label": 0})
    return records


def open_view(records: list[dict[str, Any]], folder: Path, level: str) -> SequenceView:
    source = folder / "chats.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = open_corpus(import_corpus(source, folder / "corpus", progress=False, on_error="quarantine"))
    return view_sequences(corpus, level)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_the_features_are_those_of_a_plain_loop(
    tmp_path: Path, surface_by_loop: Loop, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(sampling, "_BLOCK_CHARACTERS", 400)  # several blocks
    view = open_view(make_records(), tmp_path, level)
    messages = {
        each.conversation_id: [
            {"author": author, "text": text, "timestamp": time}
            for author, text, time in zip(
                each.authors, each.texts or (), each.timestamps or [None] * len(each.authors), strict=True
            )
        ]
        for each in view.corpus.conversations()
    }
    table = describe_surface(view)
    assert table.shape == (len(view), len(SURFACE_FEATURES))
    authors = [None] * len(view) if view.authors is None else view.authors.tolist()
    for row, name, author in zip(table, view.conversation_ids.tolist(), authors, strict=True):
        expected = surface_by_loop(messages[name], author)
        np.testing.assert_allclose(row, [expected[each] for each in SURFACE_FEATURES], rtol=1e-5, atol=1e-6)
    assert (np.ptp(table, axis=0) > 0).sum() >= len(
        SURFACE_FEATURES
    ) - 1  # "opens" is always 1 of conversations
    order = np.arange(len(view))[::-1]
    assert np.array_equal(describe_surface(view.select(order)), table[order])
    assert describe_surface(view.select([])).shape == (0, len(SURFACE_FEATURES))


def test_a_start_learns_who_waits_and_its_file_keeps_it(tmp_path: Path) -> None:
    """Equal words in both classes; only the delays differ."""
    from sklearn.metrics import roc_auc_score

    from tenor.training.start import fit_start

    generator = np.random.default_rng(1)
    records = []
    for index in range(160):
        times = np.cumsum(generator.exponential(60 if index % 2 else 20, 12))
        texts = generator.choice(TEXTS[:2] + TEXTS[6:8], 12)
        messages = [
            {"author": "ab"[place % 2], "text": str(text), "timestamp": float(time)}
            for place, (text, time) in enumerate(zip(texts, times, strict=True))
        ]
        records.append({"conversation_id": f"c{index}", "messages": messages, "label": index % 2})
    view = open_view(records, tmp_path, "conversation")
    start = fit_start(view, seed=0, with_pooled=False)
    assert start.lexical is not None
    assert start.lexical.surface is not None
    assert roc_auc_score(view.labels, start.train_prior) > 0.9
    again = LexicalPrior.from_tensors(start.lexical.to_tensors())
    assert np.array_equal(again.logits(view), start.lexical.logits(view))
    without = LexicalPrior(start.lexical.models)
    difference = start.lexical.surface.logits(describe_surface(view))
    np.testing.assert_allclose(start.lexical.logits(view) - without.logits(view), difference, atol=1e-9)


def test_an_author_alone_is_scored_without_what_others_do(tmp_path: Path) -> None:
    from tenor.training.start import fit_start

    records = make_records(60)
    for record in records:
        spoken = [message["author"] for message in record["messages"]]
        record["author_labels"] = {name: int(spoken.count(name) > 2) for name in spoken}
    view = open_view(records, tmp_path, "author")
    for with_context in (True, False):
        start = fit_start(view, seed=0, with_pooled=False, with_context=with_context)
        assert start.lexical is not None
        assert (start.lexical.surface is not None) == with_context


def make_surface(columns: int = len(SURFACE_FEATURES), outputs: int = 1) -> SurfaceModel:
    linear = LinearModel(np.ones((columns, outputs)), np.zeros(outputs))
    return SurfaceModel(linear, np.repeat([[0.0], [1.0]], columns, axis=1))


def test_beyond_the_range_of_training_the_line_does_not_go_on() -> None:
    generator = np.random.default_rng(2)
    table = generator.normal(size=(30, len(SURFACE_FEATURES)))
    linear = LinearModel(generator.normal(size=(len(SURFACE_FEATURES), 1)), np.ones(1))
    model = SurfaceModel.of_training(linear, table)
    np.testing.assert_array_equal(model.logits(table), linear.logits(table))
    far = table.copy()
    far[:, 3], far[:, 5] = -100.0, 100.0
    held = table.copy()
    held[:, 3], held[:, 5] = table[:, 3].min(), table[:, 5].max()
    np.testing.assert_array_equal(model.logits(far), linear.logits(held))


def test_a_surface_that_is_none_is_refused() -> None:
    own = fit_lexical(["yes please", "no thanks"] * 4, [0, 1] * 4)
    count = len(SURFACE_FEATURES)
    with pytest.raises(UsageError, match=rf"expected {count} coefficients of the surface, found 3"):
        make_surface(columns=3)
    with pytest.raises(UsageError, match=r"as many outputs, found {'own': 1, 'surface': 3}"):
        LexicalPrior({"own": own}, make_surface(outputs=3))
    good = LexicalPrior({"own": own}, make_surface()).to_tensors()
    changed = {
        "surface: expected the tensors coefficients, intercept, found coefficients": {
            name: array for name, array in good.items() if name != "surface.intercept"
        },
        "surface: coefficients: expected float64, found float32": good
        | {"surface.coefficients": np.zeros((count, 1), np.float32)},
        "surface: intercept: expected finite numbers": good | {"surface.intercept": np.array([np.nan])},
        "surface: expected coefficients .D, K. and intercept .K,.": good | {"surface.intercept": np.zeros(2)},
        f"expected {count} coefficients": good | {"surface.coefficients": np.zeros((2, 1))},
        "surface: expected the tensor bounds in float64, found float32": good
        | {"surface.bounds": np.zeros((2, count), np.float32)},
        "surface: expected the tensor bounds in float64, found none": {
            name: array for name, array in good.items() if name != "surface.bounds"
        },
        "surface: bounds: expected the shape": good | {"surface.bounds": np.zeros((2, 3))},
        "surface: bounds: .* above its highest": good | {"surface.bounds": np.full((2, count), np.nan)},
    }
    for message, tensors in changed.items():
        with pytest.raises(UsageError, match=message):
            LexicalPrior.from_tensors(tensors)
