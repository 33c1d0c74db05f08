"""Training on a GPU in bf16: messages/s and the share of the bf16 matrix rate, beside Hugging Face's Trainer.

In one run, both train the same SequenceClassifier (H = 256, 2 layers) with steps of 256 sequences: the Trainer with
lengths grouped and bf16 on, tenor with bf16 autocast and few, large micro-batches of packed messages. `--compile` adds
a run of tenor through torch.compile. Sequences and rates are those of training.py. Where torch sees no CUDA device the
script says so and runs everything once on the CPU at tiny sizes, which checks the script and measures nothing.

    python benchmarks/gpu.py [--quick] [--compile]
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from _common import count_flops, median, print_machine, print_table, seconds_of
from tenor.batching import SequenceDataset, make_loader
from tenor.devices import Runtime
from tenor.nn.dropout import set_dropout_generator
from tenor.training.loop import run_steps
from training import BATCH, CORPORA, make_model, make_optimizer, read_training, run_trainer

#: A GPU has the memory for a whole step at once, and every micro-batch costs it launches.
MAX_PADDED = 1 << 16
#: Padded messages of the Trainer's measured batches, about.
TRAINER_MESSAGES = 500_000
STEPS = 20


def synchronized(device: torch.device, function: Callable[[], object]) -> float:
    """Seconds of one call, with all that it left to the GPU."""

    def call() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return seconds_of(call)


def matrix_rate(device: torch.device, side: int, calls: int) -> float:
    """FLOP/s of torch.mm in bf16 on square matrices, the median of seven turns."""
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))

    def multiply() -> None:
        for _ in range(calls):
            torch.mm(left, right)

    synchronized(device, multiply)
    return 2 * side**3 * calls / median([synchronized(device, multiply) for _ in range(7)])


def run_tenor(
    dataset: SequenceDataset, device: torch.device, steps: int, *, compiled: bool
) -> tuple[float, float, float]:
    """Sequences, messages and FLOPs a second of run_steps, after two steps to warm up."""
    model = make_model(dataset).to(device)
    set_dropout_generator(model, torch.Generator(device).manual_seed(0))
    optimizer = make_optimizer(model, fused=True)
    loader = make_loader(dataset, BATCH, shuffle=True, max_padded_messages=MAX_PADDED)
    trained: nn.Module = torch.compile(model, dynamic=True) if compiled else model  # type: ignore[assignment]
    runtime, criterion = Runtime(device, "bf16"), nn.BCEWithLogitsLoss()
    for _ in zip(range(2), run_steps(trained, loader, criterion, optimizer, runtime), strict=False):
        pass
    loader.epoch = 1
    wanted = min(steps, len(loader))
    drawn = [step for _, step in zip(range(wanted), loader, strict=False)]
    lengths = np.concatenate([dataset.lengths[cut] for step in drawn for cut in step.cuts])

    def train() -> None:
        for _ in zip(range(wanted), run_steps(trained, loader, criterion, optimizer, runtime), strict=False):
            pass

    seconds = synchronized(device, train)
    return len(lengths) / seconds, lengths.sum() / seconds, count_flops(lengths, training=True) / seconds


def main() -> None:
    """Print, for every corpus, messages/s of both loops, their ratio, and tenor's share of the matrix rate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs, not how fast")
    parser.add_argument("--compile", action="store_true", help="also through torch.compile")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    print_machine()
    if has_gpu:
        print(f"GPU: {torch.cuda.get_device_name(device)}\n")
    else:
        print(
            "no GPU: torch sees no CUDA device here. The script is checked on the CPU; its numbers mean nothing.\n"
        )
    quick = options.quick or not has_gpu
    peak = matrix_rate(device, 256 if quick else 8192, 2 if quick else 20)
    rows = []
    for name, level, _ in CORPORA[:1] if quick else CORPORA:
        dataset, title = read_training(name, level, quick=quick)
        mean_length = float(dataset.lengths.mean())
        trainer = run_trainer(
            dataset, make_model(dataset), on_gpu=has_gpu, messages=1000 if quick else TRAINER_MESSAGES
        )
        rows.append((title, "Hugging Face Trainer, bf16", f"{trainer * mean_length:,.0f}", "", ""))
        for compiled in (False, True) if options.compile else (False,):
            sequences, messages, flops = run_tenor(dataset, device, 1 if quick else STEPS, compiled=compiled)
            loop = "tenor, bf16, torch.compile" if compiled else "tenor, bf16"
            rows.append(
                (title, loop, f"{messages:,.0f}", f"{sequences / trainer:.1f}", f"{flops / peak:.0%}")
            )
    print_table(("corpus", "loop", "messages/s", "times the Trainer", "of torch.mm in bf16"), rows)
    print(f"torch.mm, bf16: {peak / 1e12:.1f} TFLOP/s")


if __name__ == "__main__":
    main()
