"""Batches of 256 sequences, ready for the model, from a corpus on disk.

Claims: at least 30 times the rate of `datasets.load_from_disk(...).with_format("torch")` with a DataLoader that pads
in its collate, and half the rate at which one thread copies memory. Bytes are those of the real messages' features
as they are stored (float16), so that nobody gains by padding.

    python benchmarks/batches.py [--quick] [--threads N]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from _common import (
    analyzed_corpus,
    median,
    memcpy_rate,
    parse_options,
    print_claims,
    print_machine,
    print_table,
    set_threads,
    take_turns,
)
from tenor.batching import SequenceDataset, load_dataset, make_loader

BATCH = 256


def read_tenor(dataset: SequenceDataset, epochs: int) -> float:
    """Bytes a second of a few shuffled passes."""
    loader = make_loader(dataset, BATCH, shuffle=True)
    num_bytes = 0
    begin = time.perf_counter()
    for epoch in range(epochs):
        loader.epoch = epoch
        for step in loader:
            for batch in step:
                num_bytes += batch.features.nbytes
    return num_bytes / (time.perf_counter() - begin)


def read_datasets(path: Path, batches: int) -> float:
    """Real bytes a second of Hugging Face datasets on the same folder, over some shuffled batches."""
    import datasets

    data = datasets.load_from_disk(str(path)).select_columns(["features", "label"]).with_format("torch")

    def pad(items: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        found = [item["features"] for item in items]
        lengths = torch.tensor([len(features) for features in found])
        padded = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)
        return padded, torch.arange(padded.shape[1]) < lengths[:, None]

    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, collate_fn=pad)
    messages = 0
    begin = time.perf_counter()
    for number, (features, mask) in enumerate(loader, start=1):
        messages += int(mask.sum())
        width = features.shape[2]
        if number == batches:
            break
    return messages * width * 2 / (time.perf_counter() - begin)


def main() -> None:
    """Print GB/s of both, their ratio, and the share of memcpy."""
    options = parse_options(__doc__)
    print_machine(set_threads(options))
    copying = memcpy_rate(1 << 24 if options.quick else 1 << 28)
    rows, claims = [], []
    for name, peer_batches in (("conda", 10), ("chitchat", 3), ("switchboard", 3)):
        path, title = analyzed_corpus(name, quick=options.quick)
        dataset = load_dataset(path, "conversation")

        def run_tenor(dataset: SequenceDataset = dataset) -> float:
            return read_tenor(dataset, 1 if options.quick else 5)

        def run_datasets(path: Path = path, batches: int = peer_batches) -> float:
            return read_datasets(path, batches)

        contestants: dict[str, Callable[[], float]] = {"tenor": run_tenor, "datasets": run_datasets}
        run_tenor()  # warm: the corpus's pages in memory
        rates = take_turns(contestants, 1 if options.quick else 5)
        own, other = median(rates["tenor"]), median(rates["datasets"])
        claims.append((f"batches of {title}: times datasets", 30.0, own / other))
        claims.append((f"batches of {title}: share of memcpy", 0.5, own / copying))
        rows.append(
            (
                title,
                f"{own / 1e9:.2f}",
                f"{other / 1e9:.4f}",
                f"{own / other:.0f}",
                f"{own / copying:.0%}",
            )
        )
    head = ("corpus", "tenor, GB/s", "datasets, GB/s", "ratio", "of memcpy")
    print_table(head, rows)
    print(f"memcpy, one thread: {copying / 1e9:.1f} GB/s\n")
    print_claims(claims)


if __name__ == "__main__":
    main()
