"""A network of one's own loop in a model file: the scores of the network, the threshold of evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tenor
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.plan import SplitPlan, split_finder
from tenor.errors import TrainingError, UsageError
from tenor.models.model_file import load_model, read_metadata
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("own")
    plan = SyntheticPlan(conversations=150, messages=5, seed=3)
    source = write_jsonl(generate_conversations(plan), folder / "source.jsonl")
    tenor.import_corpus(source, folder / "plain")
    return open_corpus(
        tenor.encode_corpus(folder / "plain", folder / "analyzed", encoder="lsa", input_size=8)
    )


def make_model(input_size: int = 8, **options: object) -> tenor.SequenceClassifier:
    torch.manual_seed(0)
    return tenor.SequenceClassifier(input_size, hidden_size=8, num_heads=2, num_layers=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_the_file_scores_as_the_network_does(corpus: Corpus, tmp_path: Path, level: str) -> None:
    train, validation = (
        tenor.load_dataset(corpus, level, split, labelled=True)  # type: ignore[arg-type]
        for split in ("train", "validation")
    )
    model, loader = make_model(), tenor.make_loader(validation, 64)
    optimizer, criterion = torch.optim.AdamW(model.parameters(), lr=1e-2), torch.nn.BCEWithLogitsLoss()
    tenor.train_epoch(model, tenor.make_loader(train, 32, shuffle=True), criterion, optimizer, "cpu")
    _, probs, _, metrics, threshold = tenor.evaluate(model, loader, criterion, "cpu")
    model.train()

    path = tenor.write_model(model, tmp_path / "models" / "own.pt", validation)

    assert model.training
    metadata = read_metadata(path)
    assert metadata.threshold == threshold and metadata.threshold_rule == "f1" and metadata.level == level
    assert metadata.training["validation"]["average_precision"] == metrics["average_precision"]
    assert set(metadata.profile_thresholds) == (
        {"mean", "median", "mean_vote", "total_vote"} if level == "author" else set()
    )
    scores = tenor.predict(path, corpus.path, split="validation").labelled()
    np.testing.assert_allclose(scores.probs, probs, atol=1e-6)
    results = tenor.test_model(level, path, corpus.path)
    assert results["threshold"] == threshold
    assert any("a loop of its maker's own" in note for note in results["notes"])
    for name, tensor in load_model(path).model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_a_profile_and_a_report_are_made_of_it(corpus: Corpus, tmp_path: Path) -> None:
    validation = tenor.load_dataset(corpus, "author", "validation", labelled=True)
    path = tenor.write_model(make_model(), tmp_path / "own.safetensors", validation, threshold="cost:1:5")
    assert read_metadata(path).threshold_rule == "cost:1:5"
    profiles = tenor.evaluate_profile_classifier(path, corpus.path)
    assert profiles["threshold"] == read_metadata(path).profile_thresholds["mean"]
    page = tmp_path / "own.html"
    tenor.write_report(tenor.report_run(path, corpus.path), page)
    text = page.read_text()
    assert "trained by a loop of its maker's own" in text.replace("&#39;", "'")
    assert "tenor train author" not in text  # no command would train it again


def test_what_needs_its_training_refuses_it(corpus: Corpus, tmp_path: Path) -> None:
    validation = tenor.load_dataset(corpus, "author", "validation", labelled=True)
    path = tenor.write_model(make_model(), tmp_path / "own.safetensors", validation)
    with pytest.raises(UsageError, match="can be fitted anew without each fold, found one that a loop"):
        tenor.score_out_of_fold(path, corpus.path)
    with pytest.raises(UsageError, match="a loop of your own trained, whose seed is not known"):
        tenor.test_seeds("author", [path, path], corpus.path)


def test_an_earlier_history_goes_and_checkpoints_stay(corpus: Corpus, tmp_path: Path) -> None:
    validation = tenor.load_dataset(corpus, "conversation", "validation", labelled=True)
    path = tmp_path / "own.safetensors"
    history_path(path).write_text("{}\n")
    tenor.write_model(make_model(), path, validation)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    folder = RunFolder.beside(path)
    (folder.path / "step-00000001").mkdir(parents=True)
    (folder.path / "config.json").write_text(json.dumps({}))
    before = path.read_bytes()
    with pytest.raises(TrainingError, match="holds checkpoints of a training that was interrupted"):
        tenor.write_model(make_model(), path, validation)
    assert path.read_bytes() == before


class Wider(tenor.SequenceClassifier):
    pass


def test_what_does_not_fit_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    validation = tenor.load_dataset(corpus, "author", "validation", labelled=True)
    for model, message in (
        (make_model(4), "expected one of 8 features, as the sequences have, found one of 4"),
        (make_model(num_classes=3), "expected one of 2 classes, as the sequences have, found one of 3"),
        (make_model(has_prior=True), "expected a network without a prior"),
        (Wider(8, hidden_size=8, num_heads=2), "which a model file is read back as, found Wider"),
        ("own.pt", "found str 'own.pt'"),
    ):
        with pytest.raises(UsageError, match=message):
            tenor.write_model(model, path, validation)  # type: ignore[arg-type]
    test = tenor.load_dataset(corpus, "author", "test", labelled=True)
    everything = tenor.load_dataset(corpus, "author", labelled=True)
    for data, message in (
        (test, f"expected sequences of validation, found {len(test)} of other splits"),
        (everything, "of other splits"),
        (tenor.make_loader(validation, 8), "expected what tenor.load_dataset gives, found StepLoader"),
    ):
        with pytest.raises(UsageError, match=message):
            tenor.write_model(make_model(), path, data)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="threshold"):
        tenor.write_model(make_model(), path, validation, threshold="best")
    broken = make_model()
    with torch.no_grad():
        broken.projection.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="a validation score is not finite, not written"):
        tenor.write_model(broken, path, validation)
    assert not path.exists()


def test_unlabelled_sequences_choose_no_threshold(tmp_path: Path) -> None:
    rows = [
        {
            "conversation_id": f"c{number}",
            "messages": [{"author": "a", "features": [float(number), 1.0]}],
            "split": "validation" if number < 4 else "train",
            **({"label": number % 2} if number else {}),
        }
        for number in range(8)
    ]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = tenor.load_dataset(tenor.import_corpus(source, tmp_path / "corpus"), "conversation", "validation")
    with pytest.raises(UsageError, match=r"1 of 4 sequences are unlabelled"):
        tenor.write_model(make_model(2), tmp_path / "own.safetensors", data)


@pytest.mark.parametrize("moved", [False, True])
def test_the_splits_of_all_sequences_say_whether_a_hash_makes_them(tmp_path: Path, moved: bool) -> None:
    """Also of training's, which are not handed in: those that a hash would put into test may have been given to it."""
    find = split_finder(SplitPlan())
    rows = []
    for number in range(60):
        name = f"c{number}"
        split = find(name)
        message = {"author": "a", "features": [float(number), 1.0]}
        row = {"conversation_id": name, "messages": [message], "label": number % 2}
        rows.append({**row, "split": "train" if moved and split == "test" else split})
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = tenor.import_corpus(source, tmp_path / "corpus")
    validation = tenor.load_dataset(corpus, "conversation", "validation", labelled=True)
    path = tenor.write_model(make_model(2), tmp_path / "own.safetensors", validation)
    by_hash = {"seed": 0, "fractions": [0.7, 0.1, 0.2], "by": None}
    assert read_metadata(path).training["splits"] == (None if moved else by_hash)
