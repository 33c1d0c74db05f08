"""Training steps a second of one and the same SequenceClassifier (H = 256, 2 layers, fp32), beside other loops.

Claims: sequences/s at least 120 times those of the seed's recipe on conda's conversations, 12 times on ChitChat's,
4 times on switchboard's authors; 6 and 12 times those of Hugging Face's Trainer with lengths grouped; 3 times
skorch's; and half of the matrix rate that this machine reaches with torch.mm. All steps read 256 sequences, of at
most 256 messages each (the seed's cut, for everybody), and take one step of AdamW. The peers' sequences lie in
memory as tensors; tenor's are read from the corpus.

The peers train the same model in torch's own layers (`nn.TransformerEncoder`, `nn.Conv1d`, `nn.Dropout`; equal
scores), which is what one has without tenor; the Trainer and skorch also tenor's own module.

- seed's recipe: every sequence padded to 256, no mask.
- Trainer: train_sampling_strategy="group_by_length", a padding collate with a mask. It runs a whole epoch by its own
  sampler, which sorts by length within four parts of the data or more: of 1,600 sequences, within batches alone. Its
  setup counts, a third of a second.
- skorch: random batches, a padding collate with a mask.

    python benchmarks/training.py [--quick] [--threads N]
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from _common import (
    analyzed_corpus,
    count_flops,
    gemm_rate,
    median,
    parse_options,
    print_claims,
    print_machine,
    print_table,
    seconds_of,
    set_threads,
)
from _stock import StockModel
from tenor.batching import SequenceDataset, SequenceLevel, load_dataset, make_loader
from tenor.devices import Runtime, plain_runtime
from tenor.models.sequence import SequenceClassifier
from tenor.nn.dropout import set_dropout_generator
from tenor.training.loop import run_steps

BATCH = 256
LONGEST = 256
CORPORA: list[tuple[str, SequenceLevel, int]] = [  # and how many of tenor's steps
    ("conda", "conversation", 8),
    ("chitchat", "conversation", 2),
    ("switchboard", "author", 2),
]
#: The beginnings of peers' names, and how many times faster tenor is to be.
GOALS = {
    "conda": {"seed": 120.0, "Hugging": 6.0, "skorch": 3.0},
    "chitchat": {"seed": 12.0, "Hugging": 12.0, "skorch": 3.0},
    "switchboard": {"seed": 4.0, "skorch": 3.0},
}


def make_model(dataset: SequenceDataset) -> SequenceClassifier:
    """The model that everybody trains."""
    torch.manual_seed(0)
    return SequenceClassifier(input_size=dataset.input_size, hidden_size=256, num_layers=2)


def make_optimizer(model: nn.Module, *, fused: bool = False) -> torch.optim.Optimizer:
    """AdamW; tenor's is the fused one, as in train_model."""
    return torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=fused)


def read_training(name: str, level: SequenceLevel, *, quick: bool) -> tuple[SequenceDataset, str]:
    """A corpus's labelled training sequences, cut at 256 messages."""
    path, title = analyzed_corpus(name, quick=quick)
    dataset = load_dataset(path, level, "train", labelled=True)
    view = dataclasses.replace(dataset.view, lengths=np.minimum(dataset.view.lengths, LONGEST))
    return SequenceDataset(view), f"{title}, {level}s"


class InMemory(Dataset):  # type: ignore[type-arg]
    """Sequences as tensors, as the peers' loops want them."""

    def __init__(self, dataset: SequenceDataset, indices: np.ndarray) -> None:
        self.items = [
            (features.float(), label.float()) for features, label in (dataset[int(i)] for i in indices)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.items[index]


def pad(items: list[tuple[Tensor, Tensor]], longest: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Features (B, T, F), mask (B, T) and labels (B,), padded to the longest of them or to `longest`."""
    lengths = torch.tensor([len(features) for features, _ in items])
    padded = nn.utils.rnn.pad_sequence([features for features, _ in items], batch_first=True)
    if longest is not None:
        padded = nn.functional.pad(padded, (0, 0, 0, longest - padded.shape[1]))
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask, torch.stack([label for _, label in items])


@dataclass
class Tenor:
    """The loop under test."""

    dataset: SequenceDataset
    steps: int
    runtime: Runtime = field(default_factory=lambda: plain_runtime("cpu"))

    def __post_init__(self) -> None:
        self.model = make_model(self.dataset)
        set_dropout_generator(self.model, torch.Generator().manual_seed(0))
        self.optimizer = make_optimizer(self.model, fused=True)
        self.loader = make_loader(self.dataset, BATCH, shuffle=True)
        self.run(1)

    def run(self, steps: int | None = None) -> tuple[int, np.ndarray, float]:
        """Take steps; gives sequences, their lengths and seconds."""
        wanted = self.steps if steps is None else steps
        self.loader.epoch += 1
        drawn = [step for step, _ in zip(self.loader.steps(), range(wanted), strict=False)]
        lengths = np.concatenate([self.dataset.lengths[cut] for step in drawn for cut in step.cuts])
        results = run_steps(self.model, self.loader, nn.BCEWithLogitsLoss(), self.optimizer, self.runtime)

        def train() -> None:
            for _ in zip(range(wanted), results, strict=False):
                pass

        return len(lengths), lengths, seconds_of(train)


def make_stock(dataset: SequenceDataset) -> StockModel:
    """The same in torch's own layers."""
    return StockModel.of(make_model(dataset), LONGEST)


#: The peers' models.
MODELS: dict[str, Callable[[SequenceDataset], nn.Module]] = {
    "torch's layers": make_stock,
    "tenor's module": make_model,
}


def run_recipe(dataset: SequenceDataset, longest: int, batch: int, model: nn.Module) -> float:
    """Sequences/s of one step of the seed's recipe: all padded to `longest`, no mask."""
    optimizer, criterion = make_optimizer(model), nn.BCEWithLogitsLoss()
    indices = np.random.default_rng(0).permutation(len(dataset))[:batch]
    loader = DataLoader(
        InMemory(dataset, indices),
        batch_size=batch,
        shuffle=True,
        collate_fn=lambda items: pad(items, longest),
    )

    def train() -> None:
        for features, _, labels in loader:
            optimizer.zero_grad()
            criterion(model(features), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return len(indices) / seconds_of(train)


class WithLoss(nn.Module):
    """The model as the Trainer wants it: inputs by name, the loss first."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and logits (B,)."""
        logits = self.model(features, mask)
        return {"loss": nn.functional.binary_cross_entropy_with_logits(logits, labels), "logits": logits}


def run_trainer(
    dataset: SequenceDataset, model: nn.Module, *, on_gpu: bool = False, bf16: bool = False, epochs: int = 1
) -> float:
    """Sequences/s of Hugging Face's Trainer over whole epochs; on a GPU always in bf16."""
    from transformers import PrinterCallback, Trainer, TrainingArguments
    from transformers.trainer_pt_utils import LengthGroupedSampler

    data = InMemory(dataset, np.arange(len(dataset)))

    class Grouped(Trainer):  # type: ignore[misc]
        """The Trainer's own sampler, told the lengths that it cannot find in plain tensors."""

        def _get_train_sampler(self, train_dataset: object = None) -> LengthGroupedSampler:
            return LengthGroupedSampler(BATCH, lengths=[len(features) for features, _ in data.items])

    def collate(items: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return dict(zip(("features", "mask", "labels"), pad(items), strict=True))

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=epochs, learning_rate=1e-4,
            weight_decay=0.01, max_grad_norm=1.0, train_sampling_strategy="group_by_length",
            use_cpu=not on_gpu, bf16=bf16 or on_gpu, report_to=[], save_strategy="no", logging_strategy="no",
            disable_tqdm=True, remove_unused_columns=False, dataloader_pin_memory=on_gpu,
        )  # fmt: skip
        trainer = Grouped(model=WithLoss(model), args=arguments, train_dataset=data, data_collator=collate)
        trainer.remove_callback(PrinterCallback)
        return len(dataset) * epochs / seconds_of(trainer.train)


def run_skorch(dataset: SequenceDataset, model: nn.Module, batches: int) -> float:
    """Sequences/s of skorch's loop on random batches."""
    from skorch import NeuralNet

    indices = np.random.default_rng(1).permutation(len(dataset))[: batches * BATCH]
    data = InMemory(dataset, indices)

    def collate(items: list[tuple[Tensor, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        features, mask, labels = pad(items)
        return {"features": features, "mask": mask}, labels

    net = NeuralNet(
        model, nn.BCEWithLogitsLoss, optimizer=torch.optim.AdamW, lr=1e-4, max_epochs=1,
        batch_size=BATCH, iterator_train__shuffle=True, iterator_train__collate_fn=collate, train_split=None,
        verbose=0, device="cpu",
    )  # fmt: skip
    net.initialize()
    return len(indices) / seconds_of(lambda: net.partial_fit(data, y=None))


def peers(dataset: SequenceDataset, *, quick: bool) -> Iterator[tuple[str, Callable[[], float]]]:
    """What to run beside tenor."""
    batch = 4 if quick else BATCH
    stock = "torch's layers"
    yield (
        f"seed's recipe: all padded to {LONGEST}, no mask; {stock}",
        lambda: run_recipe(dataset, LONGEST, batch, MODELS[stock](dataset)),
    )
    random_batches = 2 if dataset.lengths.max() < 100 else 1
    for title, make in MODELS.items():
        yield (
            f"Hugging Face Trainer, lengths grouped; {title}",
            lambda make=make: run_trainer(dataset, make(dataset)),  # type: ignore[misc]
        )
        yield (
            f"skorch, random batches; {title}",
            lambda make=make: run_skorch(dataset, make(dataset), random_batches),  # type: ignore[misc]
        )


def main() -> None:
    """Print, for every corpus, sequences/s of each loop and tenor's ratio to it."""
    options = parse_options(__doc__)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    print_machine(set_threads(options))
    peaks = [gemm_rate(quick=options.quick)]
    rows, shares, claims = [], [], []
    for name, level, steps in CORPORA:
        dataset, title = read_training(name, level, quick=options.quick)
        tenor = Tenor(dataset, 1 if options.quick else steps)
        own, others = [tenor.run()], {}
        for peer, run in peers(dataset, quick=options.quick):
            others[peer] = run()
            own.append(tenor.run())  # tenor's repeats stand between the peers'
        peaks.append(gemm_rate(quick=options.quick))
        rate = median([count / seconds for count, _, seconds in own])
        rows.append((title, "tenor", f"{rate:.1f}", ""))
        rows += [("", peer, f"{other:.2f}", f"{rate / other:.1f}") for peer, other in others.items()]
        claims += [
            (f"training {title}: times {peer}", goal, rate / other)
            for peer, other in others.items()
            for beginning, goal in GOALS[name].items()
            if peer.startswith(beginning)
        ]
        flops = [count_flops(lengths, training=True) / seconds for _, lengths, seconds in own]
        messages = [lengths.sum() / seconds for _, lengths, seconds in own]
        shares.append((title, f"{median(messages):,.0f}", median(flops)))
    print_table(["corpus", "loop", "sequences/s", "tenor is so many times faster"], rows)
    peak = median(peaks)
    print(f"torch.mm, fp32: {peak / 1e9:.0f} GFLOP/s\n")
    print_table(
        ["corpus", "tenor, messages/s", "GFLOP/s", "share of torch.mm"],
        [(title, speed, f"{flops / 1e9:.0f}", f"{flops / peak:.0%}") for title, speed, flops in shares],
    )
    claims += [(f"training {title}: share of torch.mm", 0.5, flops / peak) for title, _, flops in shares]
    print_claims(claims)


if __name__ == "__main__":
    main()
