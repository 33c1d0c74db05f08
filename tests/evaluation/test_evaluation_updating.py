from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.errors import UsageError
from tenor.evaluation import compare_aggregation_methods, evaluate_profile_classifier, predict
from tenor.evaluation.streaming import predict_to_file
from tenor.evaluation.updating import draw_proof
from tenor.models.model_file import load_model
from tenor.predictions import read_predictions, write_predictions
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl
from tenor.training.train import train_model

MORE = SyntheticPlan(
    conversations=300, messages=5, conversations_per_author=8, guilty_every=3, bad_share=0.5, input_size=8
)


@pytest.fixture
def grown(corpus: Path, tmp_path: Path) -> Path:
    """The corpus after 60 more conversations."""
    rows = [
        dataclasses.replace(row, conversation_id=f"late-{number}")
        for number, row in enumerate(list(generate_conversations(MORE))[240:])
    ]
    more = write_jsonl(rows, tmp_path / "more.jsonl")
    return import_corpus(more, Path(corpus), append=True)


def test_predictions_grow_by_the_new_sequences(
    corpus: Path, models: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    for level, model in models.items():
        predict(model, corpus, split="all", output=tmp_path / f"{level}.parquet", device="cpu")
    grown = request.getfixturevalue("grown")
    for level, model in models.items():
        file = tmp_path / f"{level}.parquet"
        old = read_predictions(file)
        updated = predict(model, grown, split="all", output=file, update=file, device="cpu")
        fresh = predict(model, grown, split="all", device="cpu")
        assert updated.ids.tolist() == fresh.ids.tolist()
        assert updated.splits.tolist() == fresh.splits.tolist()
        assert np.abs(updated.probs - fresh.probs).max() <= 1e-6
        known = np.isin(updated.ids, old.ids)
        assert known.sum() == len(old) < len(updated)
        assert np.array_equal(updated.logits[known], old.logits)  # taken over, not computed again
        assert read_predictions(file).logits.tolist() == updated.logits.tolist()


def test_the_command_says_how_many_were_known(
    corpus: Path,
    models: dict[str, Path],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    run_cli: Callable[..., Any],
) -> None:
    file, model = tmp_path / "scores.parquet", models["author"]
    command = ("predict", model, corpus, "--split", "all", "--output", file, "--device", "cpu")
    old = len(predict(model, corpus, split="all", device="cpu"))
    assert run_cli(*command).out == f"{file}: {old:,} author predictions\n"
    assert (
        run_cli(*command, "--update", file).out
        == f"{file}: {old:,} author predictions, {old:,} of them known\n"
    )
    now = len(predict(model, request.getfixturevalue("grown"), split="all", device="cpu"))
    said = run_cli(*command, "--update", file).out.splitlines()[0]
    assert said == f"{file}: {now:,} author predictions, {old:,} of them known"
    assert old < now


@pytest.mark.parametrize("has_fingerprints", [True, False])
def test_who_hears_more_is_scored_again(tmp_path: Path, has_fingerprints: bool) -> None:
    """An author's score may rest on what the other says: it is stale once that goes on."""
    records = []
    for number in range(80):
        guilty = number % 2
        texts = ["hello there", "bad money now" if guilty else "good day then"] * 2
        messages = [{"author": f"{'ab'[turn % 2]}{number}", "text": text} for turn, text in enumerate(texts)]
        labels = {f"{letter}{number}": guilty for letter in "ab"}
        records.append({"conversation_id": str(number), "messages": messages, "author_labels": labels})
    encoded = {}
    for name in ("before", "after"):
        source = tmp_path / f"{name}.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        encoder = "lsa" if name == "before" else f"like:{encoded['before']}"
        options = {"input_size": 4} if name == "before" else {}
        encoded[name] = encode_corpus(
            import_corpus(source, tmp_path / f"{name}-corpus"), tmp_path / name, encoder=encoder, **options
        )
        for record in records[:40]:
            record["messages"] += [{"author": f"b{record['conversation_id']}", "text": "bad money now"}] * 3
    model = train_model(
        "author", encoded["before"], 1, model_path=tmp_path / "m", hidden_size=8, num_heads=2, copies="ignore",
        progress=False, device="cpu",
    )  # fmt: skip
    lexical = load_model(model).lexical
    assert lexical is not None and lexical.reads_others
    old = predict(model, encoded["before"], split="all", device="cpu")
    if not has_fingerprints:  # as in files of earlier versions
        old = dataclasses.replace(old, fingerprints=None)
    fresh = predict(model, encoded["after"], split="all", device="cpu")
    updated = predict(model, encoded["after"], split="all", update=old, device="cpu")
    assert np.abs(fresh.logits - old.logits).max() > 0.01
    assert np.abs(updated.logits - fresh.logits).max() <= 1e-6
    assert (updated.logits == old.logits).sum() >= 80  # whose conversations did not go on


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_edited_messages_are_scored_again(
    corpus: Path, models: dict[str, Path], tmp_path: Path, level: str
) -> None:
    """Also by the command's way, into the file that is updated; ids and numbers of messages are as before."""
    file = tmp_path / "scores.parquet"
    old = predict(models[level], corpus, split="all", output=file, device="cpu")
    source = tmp_path / "edited.jsonl"
    rows = list(generate_conversations(dataclasses.replace(MORE, conversations=240)))
    edited = write_jsonl(rows, source).read_text().splitlines()
    for number in (3, 77):
        record = json.loads(edited[number])
        for message in record["messages"]:
            message["features"] = [-value for value in message["features"]]
        edited[number] = json.dumps(record)
    source.write_text("\n".join(edited))
    after = import_corpus(source, tmp_path / "edited", fractions=(0.4, 0.3, 0.3))
    fresh = predict(models[level], after, split="all", device="cpu")
    assert fresh.ids.tolist() == old.ids.tolist() and fresh.lengths.tolist() == old.lengths.tolist()
    changed = np.isin(fresh.conversation_ids, [rows[3].conversation_id, rows[77].conversation_id])
    assert (np.abs(fresh.logits - old.logits)[changed] > 1e-3).all()
    predict_to_file(models[level], after, file, split="all", update=file, device="cpu")
    for updated in (
        predict(models[level], after, split="all", update=old, device="cpu"),
        read_predictions(file),
    ):
        assert np.abs(updated.logits - fresh.logits).max() <= 1e-6
        assert np.array_equal(updated.logits[~changed], old.logits[~changed])


def test_profiles_from_known_scores_are_those_of_a_fresh_run(
    corpus: Path, models: dict[str, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "author.parquet"
    predict(models["author"], corpus, split="all", output=file, device="cpu")
    grown = request.getfixturevalue("grown")
    options = {"baselines": False, "device": "cpu"}
    fresh = evaluate_profile_classifier(models["author"], grown, **options)
    known = evaluate_profile_classifier(models["author"], grown, known=file, **options)
    for metric in ("average_precision", "roc_auc", "f1", "threshold"):
        assert known[metric] == pytest.approx(fresh[metric], abs=1e-6)
    both = compare_aggregation_methods(
        models["author"], grown, aggregations=("mean", "median"), known=file, **options
    )
    assert both["mean"]["roc_auc"] == pytest.approx(fresh["roc_auc"], abs=1e-6)


def test_predictions_of_something_else_are_refused(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    predictions = predict(models["author"], corpus, device="cpu")
    with pytest.raises(
        UsageError, match="expected this model's, with level conversation, found level author"
    ):
        predict(models["conversation"], corpus, update=predictions, device="cpu")
    other = dataclasses.replace(predictions, model_hash="f" * 64)
    with pytest.raises(UsageError, match=f"model hash .*, found model hash {'f' * 12}"):
        predict(models["author"], corpus, update=other, device="cpu")
    renamed = dataclasses.replace(predictions, classes=("calm", "rude"))
    with pytest.raises(UsageError, match="with classes 0, 1, found classes calm, rude"):
        predict(models["author"], corpus, update=renamed, device="cpu")
    mended = dataclasses.replace(predictions, logits=predictions.logits * 1.5)
    file = write_predictions(mended, tmp_path / "mended.parquet")
    with pytest.raises(UsageError, match="they were calibrated, or the messages have changed"):
        predict(models["author"], corpus, update=file, device="cpu")


def test_the_remedy_is_of_what_differs(corpus: Path, models: dict[str, Path]) -> None:
    predictions = predict(models["author"], corpus, device="cpu")
    another = "they are of another model, .*predict all anew, without --update"
    adjusted = "what is calibrated or has another threshold: keep a file of the scores"
    for changes, remedy, other in (
        ({"model_hash": "f" * 64}, another, adjusted),
        ({"classes": ("calm", "rude")}, another, adjusted),
        ({"calibration": "platt"}, adjusted, "another model"),
        ({"threshold": 0.75}, adjusted, "another model"),
    ):
        with pytest.raises(UsageError, match=remedy) as caught:
            predict(
                models["author"], corpus, update=dataclasses.replace(predictions, **changes), device="cpu"
            )
        assert other not in str(caught.value)


def test_the_proof_is_a_small_sorted_draw() -> None:
    rows = np.where(np.arange(1000) % 3 == 0, -1, np.arange(1000))
    proof = draw_proof(rows)
    assert len(proof) == 64
    assert (rows[proof] >= 0).all()
    assert (np.diff(proof) > 0).all()
    assert draw_proof(np.array([-1, 4, -1, 2])).tolist() == [1, 3]


def test_known_scores_of_new_chats_do_not_stand_for_validation(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    """Other chats under the ids of validation's, as files of earlier versions hold them, without fingerprints."""
    rows = [
        dataclasses.replace(
            row, features=None if row.features is None else -row.features, label=None, author_labels={}
        )
        for row in generate_conversations(dataclasses.replace(MORE, conversations=240))
    ]
    new = import_corpus(write_jsonl(rows, tmp_path / "new.jsonl"), tmp_path / "new")
    known = dataclasses.replace(
        predict(models["conversation"], new, split="all", device="cpu"), fingerprints=None
    )
    options = {"split": "all", "threshold": "cost:1:20", "validation": corpus, "device": "cpu"}
    plain = predict(models["conversation"], new, **options)
    updated = predict(models["conversation"], new, update=known, **options)
    assert updated.threshold == plain.threshold != known.threshold
    predict_to_file(
        models["conversation"],
        new,
        tmp_path / "o.parquet",
        update=write_predictions(known, tmp_path / "k.parquet"),
        **options,
    )
    assert read_predictions(tmp_path / "o.parquet").threshold == plain.threshold


def test_an_update_of_no_rows_is_a_prediction_anew(
    corpus: Path, models: dict[str, Path], tmp_path: Path
) -> None:
    fresh = predict(models["author"], corpus, split="all", device="cpu")
    with_words = dataclasses.replace(fresh, known_words=np.full(len(fresh), 0.5, np.float32))
    for known in (fresh, with_words):
        none = known.select([])
        updated = predict(models["author"], corpus, split="all", update=none, device="cpu")
        assert np.array_equal(updated.logits, fresh.logits)
