"""Scoring a corpus with a model file, from disk to a Parquet file, beside the same model in a plain DataLoader loop.

Claims: at least 4 times as fast, and at 60% of the matrix rate that this machine reaches with torch.mm. The peer
opens the same model file, reads the same corpus's sequences, pads batches of 256 in the corpus's order to their
longest, and writes with pandas. Both must give the same scores to 1e-5.

    python benchmarks/scoring.py [--quick] [--threads N]
"""

from __future__ import annotations

import tempfile
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
    seconds_of,
    set_threads,
    take_turns,
)
from tenor.batching import SequenceLevel, load_dataset
from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Split
from tenor.evaluation import predict
from tenor.models.model_file import ModelMetadata, load_model, save_model
from tenor.models.sequence import SequenceClassifier

BATCH = 256
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


def predict_plainly(model_path: Path, corpus_path: Path, split: Split, output: Path) -> None:
    """What one would write by hand."""
    model = load_model(model_path).model.eval()
    dataset = load_dataset(corpus_path, load_model(model_path).metadata.level, split)
    loader = DataLoader(dataset, batch_size=BATCH, collate_fn=pad)  # type: ignore[arg-type]
    with torch.no_grad():
        logits = torch.cat([model(features, mask) for features, mask in loader])
    table = pd.DataFrame({"logit": logits.numpy(), "prob": logits.sigmoid().numpy()})
    table.insert(0, "conversation_id", dataset.view.conversation_ids.astype(str))
    table.to_parquet(output)


def main() -> None:
    """Print, for every corpus, the seconds of both and their ratio."""
    options = parse_options(__doc__)
    print_machine(set_threads(options))
    peak = gemm_rate(quick=options.quick)
    rows, claims = [], []
    for name, level, split, turns in CORPORA:
        corpus_path, title = analyzed_corpus(name, quick=options.quick)
        with tempfile.TemporaryDirectory() as folder:
            model_path = write_model(corpus_path, level, Path(folder) / "model.safetensors")
            own, plain = Path(folder) / "tenor.parquet", Path(folder) / "plain.parquet"
            predict(model_path, corpus_path, split=split, output=own)  # warm: libraries, files in memory
            seconds = take_turns(
                {
                    "tenor": lambda m=model_path, c=corpus_path, s=split, o=own: seconds_of(
                        lambda: predict(m, c, split=s, output=o)
                    ),
                    "plain": lambda m=model_path, c=corpus_path, s=split, o=plain: seconds_of(
                        lambda: predict_plainly(m, c, s, o)
                    ),
                },
                1 if options.quick else turns,
            )
            np.testing.assert_allclose(
                pd.read_parquet(own)["logit"], pd.read_parquet(plain)["logit"], atol=1e-5
            )
        lengths = load_dataset(corpus_path, level, split).lengths
        mine, theirs = median(seconds["tenor"]), median(seconds["plain"])
        flops = count_flops(lengths, training=False) / mine
        claims.append((f"scoring {title}: times a DataLoader loop", 4.0, theirs / mine))
        claims.append((f"scoring {title}: share of torch.mm", 0.6, flops / peak))
        rows.append(
            (
                f"{title}, {level}s",
                f"{len(lengths):,}",
                f"{len(lengths) / mine:.0f}",
                f"{len(lengths) / theirs:.0f}",
                f"{theirs / mine:.1f}",
                f"{flops / 1e9:.0f}",
                f"{flops / peak:.0%}",
            )
        )
    head = ("corpus", "sequences", "tenor, sequences/s", "DataLoader loop", "ratio", "GFLOP/s", "of torch.mm")
    print_table(head, rows)
    print(f"torch.mm, fp32: {peak / 1e9:.0f} GFLOP/s\n")
    print_claims(claims)


if __name__ == "__main__":
    main()
