"""Scoring a corpus with a model file, from disk to a Parquet file, beside the same model in a plain DataLoader loop.

Claims: at least 4 times as fast, and at 60% of the matrix rate that this machine reaches with torch.mm. The peers
open the same model file, read the same corpus's sequences, pad batches in the corpus's order to their longest, and
write with pandas. One calls tenor's own module, on batches of 256; the other the same weights in torch's own layers
(`nn.TransformerEncoder`, `nn.Conv1d`), which is what one has without tenor, on batches of 32: larger ones hold more
padding, and are slower on all three corpora. All must give the same scores to 1e-5.

    python benchmarks/scoring.py [--quick] [--threads N]
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from _common import (
    analyzed_corpus,
    count_flops,
    gemm_rate,
    median,
    parse_options,
    print_claims,
    print_machine,
    print_table,
    set_threads,
    take_turns,
)
from _stock import StockModel
from tenor.batching import SequenceLevel, load_dataset
from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Split
from tenor.evaluation import predict
from tenor.models.model_file import ModelMetadata, load_model, save_model
from tenor.models.sequence import SequenceClassifier

#: What the plain loops call, and sequences a batch.
PEERS: dict[str, int] = {"torch's layers": 32, "tenor's module": 256}
CORPORA: list[
    tuple[str, SequenceLevel, Split, int]
] = [  # and how many turns: the plain loop is slow on long chats
    ("conda", "conversation", "test", 3),
    ("chitchat", "conversation", "test", 1),
    ("switchboard", "author", "test", 3),
]


def write_model(corpus_path: Path, level: SequenceLevel, path: Path) -> Path:
    """A model file that fits a corpus; its weights are as drawn, which costs as much as trained ones."""
    info = open_corpus(corpus_path).info
    torch.manual_seed(0)
    model = SequenceClassifier(input_size=256, hidden_size=256, num_layers=2)
    metadata = ModelMetadata(
        level=level,
        config=model.config(),
        classes=(0, 1),
        threshold=0.5,
        threshold_objective="f1",
        feature_names=info.feature_names,
        encoder_name=None if info.encoder is None else info.encoder.name,
        encoder_hash=None if info.encoder is None else info.encoder.hash,
        split_hash=info.split_hash,
        training={},
    )
    return save_model(path, model, metadata)


def pad(items: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Features (B, T, F) and mask (B, T)."""
    lengths = torch.tensor([len(features) for features, _ in items])
    padded = nn.utils.rnn.pad_sequence([features for features, _ in items], batch_first=True)
    return padded, torch.arange(padded.shape[1]) < lengths[:, None]


@dataclass(frozen=True)
class Task:
    """A corpus to be scored by a model file, in a folder for what is written."""

    corpus_path: Path
    split: Split
    model_path: Path
    folder: Path

    def score(self, loop: str) -> pd.Series:
        """The logits that a loop wrote to disk: tenor's own, or one of PEERS."""
        output = self.folder / "scores.parquet"
        if loop == "tenor":
            predict(self.model_path, self.corpus_path, split=self.split, output=output)
        else:
            self.predict_plainly(loop, output)
        return pd.read_parquet(output)["logit"]

    def predict_plainly(self, peer: str, output: Path) -> None:
        """What one would write by hand."""
        loaded = load_model(self.model_path)
        dataset = load_dataset(self.corpus_path, loaded.metadata.level, self.split)
        model: nn.Module = loaded.model
        if peer == "torch's layers":
            model = StockModel.of(loaded.model, longest=int(dataset.lengths.max()))
        model.eval()
        loader = DataLoader(dataset, batch_size=PEERS[peer], collate_fn=pad)  # type: ignore[arg-type]
        with torch.no_grad():
            logits = torch.cat([model(features, mask) for features, mask in loader])
        table = pd.DataFrame({"logit": logits.numpy(), "prob": logits.sigmoid().numpy()})
        table.insert(0, "conversation_id", dataset.view.conversation_ids.astype(str))
        table.to_parquet(output)


def run_turns(task: Task, turns: int) -> dict[str, float]:
    """Median seconds of tenor and of each peer, whose scores must be the same."""
    expected = task.score("tenor")  # warm: libraries, files in memory

    def run(loop: str) -> float:
        begin = time.perf_counter()
        logits = task.score(loop)
        seconds = time.perf_counter() - begin
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        return seconds

    found = take_turns({loop: partial(run, loop) for loop in ("tenor", *PEERS)}, turns)
    return {loop: median(seconds) for loop, seconds in found.items()}


def main() -> None:
    """Print, for every corpus, sequences/s of each loop and tenor's ratio to it."""
    options = parse_options(__doc__)
    print_machine(set_threads(options))
    peaks = [gemm_rate(quick=options.quick)]
    rows, rates, claims = [], [], []
    for name, level, split, turns in CORPORA:
        corpus_path, title = analyzed_corpus(name, quick=options.quick)
        with tempfile.TemporaryDirectory() as folder:
            model_path = write_model(corpus_path, level, Path(folder) / "model.safetensors")
            task = Task(corpus_path, split, model_path, Path(folder))
            seconds = run_turns(task, 1 if options.quick else turns)
        lengths = load_dataset(corpus_path, level, split).lengths
        own, title = seconds["tenor"], f"{title}, {level}s"
        rows.append((title, f"{len(lengths):,}", "tenor", f"{len(lengths) / own:.0f}", ""))
        for peer in PEERS:
            loop, ratio = f"a DataLoader loop, {peer}", seconds[peer] / own
            rows.append(("", "", loop, f"{len(lengths) / seconds[peer]:.0f}", f"{ratio:.1f}"))
            claims.append((f"scoring {title}: times {loop}", 4.0, ratio))
        peaks.append(gemm_rate(quick=options.quick))
        rates.append((title, count_flops(lengths, training=False) / own))
    peak = median(peaks)
    print_table(("corpus", "sequences", "loop", "sequences/s", "tenor is so many times faster"), rows)
    print(f"torch.mm, fp32: {peak / 1e9:.0f} GFLOP/s\n")
    shares = [(title, f"{flops / 1e9:.0f}", f"{flops / peak:.0%}") for title, flops in rates]
    print_table(("corpus", "tenor, GFLOP/s", "share of torch.mm"), shares)
    claims += [(f"scoring {title}: share of torch.mm", 0.6, flops / peak) for title, flops in rates]
    print_claims(claims)


if __name__ == "__main__":
    main()
