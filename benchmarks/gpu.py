"""Training on a GPU in bf16: messages/s and the share of the bf16 matrix rate, beside Hugging Face's Trainer.

In one run, both train the same SequenceClassifier (H = 256, 2 layers) with steps of 256 sequences: the Trainer with
lengths grouped and bf16 on, tenor with bf16 autocast and few, large micro-batches of packed messages. The Trainer also
trains the same architecture of torch's own layers, as in training.py. Sequences and rates are those of training.py.
Where torch sees no CUDA device the script says so and runs everything once on the CPU at tiny sizes, which checks the
script and measures nothing.

    python benchmarks/gpu.py [--quick]
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable

import torch
from torch import nn

from _common import count_flops, median, print_machine, print_table, seconds_of
from tenor.batching import SequenceDataset, hold_on_gpu, make_loader
from tenor.devices import Runtime
from tenor.nn.dropout import set_dropout_generator
from tenor.training.loop import make_passes, run_steps
from training import BATCH, CORPORA, MODELS, make_model, make_optimizer, read_training, run_trainer

#: Steps that are measured, in whole epochs, and those before, which record what is replayed.
STEPS, WARM_UP = 300, 100


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


def run_tenor(dataset: SequenceDataset, device: torch.device, steps: int) -> tuple[float, float, float]:
    """Sequences, messages and FLOPs a second of run_steps over whole epochs, after others to warm up."""
    model = make_model(dataset).to(device)
    set_dropout_generator(model, torch.Generator(device).manual_seed(0))
    optimizer = make_optimizer(model, fused=True)
    loader = make_loader(hold_on_gpu(dataset, device), BATCH, shuffle=True, device=device)
    runtime, criterion = Runtime(device, "bf16"), nn.BCEWithLogitsLoss()
    passes = make_passes(model, criterion, runtime)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            loader.epoch += 1
            for _ in run_steps(model, loader, criterion, optimizer, runtime, passes=passes):
                pass

    train(1 if steps == 1 else count_epochs(len(loader), WARM_UP))
    epochs = count_epochs(len(loader), steps)
    seconds = synchronized(device, lambda: train(epochs)) / epochs
    lengths = dataset.lengths
    return (
        len(lengths) / seconds,
        lengths.sum() / seconds,
        count_flops(lengths, training=True, on_gpu=True) / seconds,
    )


def count_epochs(steps_of_one: int, steps: int) -> int:
    """Epochs that take so many steps."""
    return max(1, round(steps / steps_of_one))


def measure(
    dataset: SequenceDataset, device: torch.device, peak: float, *, quick: bool
) -> list[tuple[str, str, str, str]]:
    """The rows of one corpus's table: loop, messages/s, tenor's ratio to it, its share of the matrix rate."""
    on_gpu, steps = device.type == "cuda", 1 if quick else STEPS
    sequences, messages, flops = run_tenor(dataset, device, steps)
    rows = [("tenor, bf16", f"{messages:,.0f}", "", f"{flops / peak:.1%}")]
    epochs = count_epochs(-(-len(dataset) // BATCH), min(steps, WARM_UP))
    for layers, make in MODELS.items():
        for count in (1,) if quick else (1, epochs):  # the first of two runs warms up
            rate = run_trainer(dataset, make(dataset), on_gpu=on_gpu, epochs=count)
        speed = f"{rate * float(dataset.lengths.mean()):,.0f}"
        rows.append((f"Hugging Face Trainer, bf16; {layers}", speed, f"{sequences / rate:.1f}", ""))
    return rows


def main() -> None:
    """Print, for every corpus, messages/s of the loops, their ratio, and tenor's share of the matrix rate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: to see that it runs, not how fast")
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
    print(f"torch.mm, bf16: {peak / 1e12:.1f} TFLOP/s\n")
    for name, level, _ in CORPORA[:1] if quick else CORPORA:
        dataset, title = read_training(name, level, quick=quick)
        print(f"{title}\n")
        rows = measure(dataset, device, peak, quick=quick)
        print_table(("loop", "messages/s", "tenor is so many times faster", "of torch.mm in bf16"), rows)


if __name__ == "__main__":
    main()
