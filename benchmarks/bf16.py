"""Training on a CPU in bf16 beside fp32: sequences/s of tenor and of Hugging Face's Trainer, in one run.

For CPUs with matrix instructions for bf16 (AMX); on others both are slower so, and the table says that. Sequences,
model and loops are those of training.py; the Trainer trains the model of torch's layers, lengths grouped, whole epochs.

    python benchmarks/bf16.py [--quick] [--threads N]
"""

from __future__ import annotations

import logging
import warnings

import torch

from _common import gemm_rate, median, parse_options, print_machine, print_table, set_threads
from tenor.devices import PRECISIONS, Runtime
from training import CORPORA, Tenor, make_stock, read_training, run_trainer

#: How often each loop of tenor runs, in turns.
TURNS = 5


def main() -> None:
    """Print, for every corpus, sequences/s of both loops in both precisions, and tenor's ratios."""
    options = parse_options(__doc__)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    print_machine(set_threads(options))
    rows = []
    for name, level, steps in CORPORA:
        dataset, title = read_training(name, level, quick=options.quick)
        loops = [
            Tenor(dataset, 1 if options.quick else steps, Runtime(torch.device("cpu"), precision))
            for precision in PRECISIONS
        ]
        turns = [[loop.run() for loop in loops] for _ in range(TURNS)]
        own = [median([count / seconds for count, _, seconds in runs]) for runs in zip(*turns, strict=True)]
        other = [
            run_trainer(dataset, make_stock(dataset), bf16=precision == "bf16") for precision in PRECISIONS
        ]
        rows.append((title, "tenor", *(f"{rate:.1f}" for rate in own), f"{own[1] / own[0]:.2f}"))
        rows.append(("", "Trainer", *(f"{rate:.1f}" for rate in other), f"{other[1] / other[0]:.2f}"))
        ratios = (f"{mine / theirs:.1f}" for mine, theirs in zip(own, other, strict=True))
        rows.append(("", "ratio", *ratios, f"{max(own) / max(other):.1f}, the faster of each"))
    print_table(["corpus", "loop", "fp32, sequences/s", "bf16, sequences/s", "bf16 / fp32"], rows)
    print(f"torch.mm, fp32: {gemm_rate(quick=options.quick) / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
