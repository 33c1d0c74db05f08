"""What is promised of a CPU, on an NVIDIA GPU; skipped where torch sees none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tenor.batching import hold_on_gpu, load_dataset, make_loader
from tenor.cli import main
from tenor.corpus.importing import import_corpus
from tenor.devices import Precision, Runtime, plain_runtime
from tenor.errors import TrainingError
from tenor.evaluation import predict
from tenor.explain import explain_sequence
from tenor.models.model_file import read_metadata
from tenor.models.scoring import score_dataset
from tenor.models.sequence import SequenceClassifier
from tenor.nn.dropout import set_dropout_generator
from tenor.predictions import read_predictions
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path, read_history
from tenor.training.loop import make_passes, run_steps
from tenor.training.passes import Pass
from tenor.training.train import train_model

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3, 5),
    "batch_size": 16,
    "learning_rate": 3e-3,
    "progress": False,
    "device": "cuda",
    "prior": "none",
}


def sum_of_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum")


def make_model(dropout: float = 0.0) -> SequenceClassifier:
    torch.manual_seed(0)
    return SequenceClassifier(8, hidden_size=32, num_layers=2, num_heads=4, dropout=dropout)


def test_scores_are_those_of_the_cpu_and_do_not_depend_on_neighbours(small_corpus: Path) -> None:
    dataset, model = load_dataset(small_corpus, "author"), make_model()
    on_cpu = score_dataset(model, dataset, plain_runtime("cpu"))
    model.to("cuda")
    on_gpu = score_dataset(model, dataset, plain_runtime("cuda"))
    assert np.abs(on_gpu - on_cpu).max() < 1e-4
    model.eval()
    with torch.inference_mode():
        batches = [dataset.batch(np.array([index])).to("cuda") for index in range(len(dataset))]
        alone = np.array([float(model(batch.features, batch.mask)) for batch in batches])
    assert np.abs(on_gpu - alone).max() < 1e-5
    in_bf16 = score_dataset(model, dataset, Runtime(torch.device("cuda"), "bf16"))
    assert 0 < np.abs(in_bf16 - on_gpu).max() < 0.1


@pytest.mark.parametrize("max_messages", [8, 64, 1 << 16])
def test_a_step_is_that_of_the_single_padded_batch(small_corpus: Path, max_messages: int) -> None:
    dataset, model = load_dataset(small_corpus, "author", "train"), make_model().double().to("cuda")
    loader = make_loader(dataset, len(dataset), micro_batch_messages=max_messages)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    (result,) = run_steps(
        model, loader, nn.BCEWithLogitsLoss(), optimizer, plain_runtime("cuda"), clip_norm=None
    )
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    plain = make_model().double()
    batch = dataset.batch(np.arange(len(dataset))).pad()
    loss = nn.BCEWithLogitsLoss()(plain(batch.features.double(), batch.mask), batch.labels.double())
    loss.backward()
    assert result.loss_sum / result.count == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, parameter in plain.named_parameters():
        gradient = found[name]
        assert gradient is not None and parameter.grad is not None
        difference = (gradient.cpu() - parameter.grad).norm() / parameter.grad.norm().clamp_min(1e-12)
        assert difference < 1e-6, name


def test_features_held_on_the_gpu_make_the_same_batches(small_corpus: Path) -> None:
    dataset = load_dataset(small_corpus, "author", "train")
    held = hold_on_gpu(dataset, torch.device("cuda"))
    assert held.held is not None and held.held.is_cuda
    pairs = zip(
        *(list(make_loader(each, 16, shuffle=True, device="cuda")) for each in (dataset, held)), strict=True
    )
    for one, other in pairs:
        for batch, again in zip(one, other, strict=True):
            assert again.features.is_cuda and torch.equal(batch.features, again.features.cpu())
            assert torch.equal(batch.mask, again.mask) and torch.equal(batch.labels, again.labels)


@pytest.mark.parametrize("optimizer_type", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("is_fused", [False, True])
def test_a_step_that_is_not_finite_is_not_taken(
    small_corpus: Path, optimizer_type: type[torch.optim.Optimizer], is_fused: bool
) -> None:
    dataset, model = load_dataset(small_corpus, "author", "train"), make_model().to("cuda")
    optimizer = optimizer_type(model.parameters(), lr=1e-3, fused=is_fused)  # type: ignore[call-arg]
    loader, runtime = make_loader(dataset, 32, device="cuda"), plain_runtime("cuda")
    steps = run_steps(model, loader, nn.BCEWithLogitsLoss(), optimizer, runtime)
    before = [parameter.clone() for parameter in model.parameters()]
    next(steps)
    after = [parameter.clone() for parameter in model.parameters()]
    assert not all(map(torch.equal, before, after))
    model.head[-1].weight.data.fill_(float("inf"))
    broken = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(TrainingError, match="step 1: the (loss|gradient's norm) is (nan|inf); .*sequences: "):
        next(steps)
    assert all(map(torch.equal, broken, model.parameters()))


def test_dropout_follows_from_its_generator() -> None:
    model = make_model(dropout=0.3).to("cuda").train()
    features, mask = torch.randn(4, 9, 8, device="cuda"), torch.ones(4, 9, dtype=torch.bool, device="cuda")
    drawn = []
    for seed in (1, 1, 2):
        set_dropout_generator(model, torch.Generator("cuda").manual_seed(seed))
        drawn.append(model(features, mask).detach())
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_replayed_graph_gives_what_was_computed_before_it_was_recorded(
    small_corpus: Path, precision: Precision
) -> None:
    dataset, model = load_dataset(small_corpus, "author", "train"), make_model(dropout=0.3).to("cuda").train()
    generator = torch.Generator("cuda").manual_seed(5)
    set_dropout_generator(model, generator)
    runtime = Runtime(torch.device("cuda"), precision)
    passes = make_passes(model, nn.BCEWithLogitsLoss(), runtime)
    batch = dataset.batch(np.arange(40), is_pinned=True).to("cuda")
    start, found = generator.get_state(), []
    for _ in range(4):  # computed, recorded and replayed, replayed twice
        model.zero_grad(set_to_none=True)
        generator.set_state(start)
        loss, logits = passes.run(batch, 40)
        gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        found.append((loss, logits, *gradients, generator.get_state()))
    for other in found[1:]:
        for one, again in zip(found[0], other, strict=True):
            assert torch.equal(one, again)
    model.zero_grad(set_to_none=True)
    assert not torch.equal(passes.run(batch, 40)[1], found[0][1])  # the next draws are others


def test_graphs_of_two_shapes_in_turn_give_the_gradients_of_batches_as_they_come(small_corpus: Path) -> None:
    dataset, model = load_dataset(small_corpus, "author", "train"), make_model().to("cuda").train()
    runtime = plain_runtime("cuda")
    graphed, plain = make_passes(model, nn.BCEWithLogitsLoss(), runtime), Pass(model, sum_of_losses, runtime)
    batches = [dataset.batch(np.arange(count), is_pinned=True).to("cuda") for count in (40, 12)]
    for batch in 3 * batches:
        found = []
        for passes in (graphed, plain):
            model.zero_grad(set_to_none=True)
            loss, _ = passes.run(batch, len(batch))
            gradients = [p.grad.flatten().clone() for p in model.parameters() if p.grad is not None]
            found.append(torch.cat([loss[None], *gradients]))
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pos_weight", ["balanced", None])
def test_class_weights_stay_where_graphs_read_them(
    small_source: Path, tmp_path: Path, pos_weight: str | None
) -> None:
    names = ("low", "middle", "high")
    records = [json.loads(line) for line in small_source.read_text().splitlines()]
    for number, record in enumerate(records):
        record["label"] = names[number % 3]
    source = tmp_path / "three.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    corpus = import_corpus(source, tmp_path / "corpus")
    losses = []
    for device in ("cuda", "cpu"):
        options = {**SMALL, "device": device, "dropout": 0.0, "pos_weight": pos_weight, "copies": "ignore"}
        path = train_model("conversation", corpus, 4, model_path=tmp_path / device, **options)
        losses.append([record.validation_loss for record in read_history(history_path(path))])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


class Killed(Exception):
    """Stands for a kill right after a checkpoint."""


@pytest.mark.parametrize("mixed_precision", ["no", "bf16"])
def test_a_killed_run_resumes_to_the_same_bytes(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mixed_precision: str
) -> None:
    options = {**SMALL, "checkpoint_every_steps": 1, "mixed_precision": mixed_precision}
    whole, again = (
        train_model("author", small_corpus, 3, model_path=tmp_path / name, **options) for name in ("a", "b")
    )
    assert whole.read_bytes() == again.read_bytes()
    save = RunFolder.save

    def save_and_die(folder: RunFolder, checkpoint: Any) -> Path:  # noqa: ANN401
        saved = save(folder, checkpoint)
        if checkpoint.step == 7:
            raise Killed
        return saved

    path = tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", save_and_die)
        with pytest.raises(Killed):
            train_model("author", small_corpus, 3, model_path=path, **options)
    train_model("author", small_corpus, 3, model_path=path, resume=True, **options)
    assert path.read_bytes() == whole.read_bytes()


def test_a_model_trained_on_the_gpu_scores_alike_on_both(small_corpus: Path, tmp_path: Path) -> None:
    path = train_model("author", small_corpus, 8, model_path=tmp_path / "m", **{**SMALL, "prior": "auto"})
    history = read_history(history_path(path))
    assert max(record.validation["roc_auc"] or 0.0 for record in history) > 0.95
    on_cpu, on_gpu = (predict(path, small_corpus, split="test", device=name) for name in ("cpu", "cuda"))
    assert on_cpu.conversation_ids.tolist() == on_gpu.conversation_ids.tolist()
    assert np.abs(on_cpu.probs - on_gpu.probs).max() < 1e-5
    conversation, author = str(on_cpu.conversation_ids[0]), str(on_cpu.authors[0])
    one, other = (
        explain_sequence(path, small_corpus, conversation, author, device=name) for name in ("cpu", "cuda")
    )
    assert np.abs(one.contributions - other.contributions).max() < 1e-4


def test_the_command_line_takes_the_gpu_where_there_is_one(
    small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scores = tmp_path / "m.pt", tmp_path / "scores.parquet"
    train = ["train", "author", str(small_corpus), "--model", str(model), "--epochs", "2"]
    predict_all = ["predict", str(model), str(small_corpus), "-o", str(scores)]
    for command in ([*train, "--mixed-precision", "bf16"], predict_all):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code, capsys.readouterr().err
    assert read_metadata(model).training["config"]["device"] == "cuda"
    assert len(read_predictions(scores)) > 0
