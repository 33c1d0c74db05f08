"""Does calibration on a small validation split help other groups? Log loss there, by rule of choice.

No speed claim: the numbers behind docs/evaluation.md. Give it files of ``tenor predict --split all``; their validation
and test groups are drawn anew into those that a calibrator is fitted on and those that it is measured on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tenor
from tenor.metrics.calibration import fit_calibrator
from tenor.metrics.reliability import log_loss
from tenor.predictions import Predictions

DRAWS, SHARES = 25, (0.15, 0.35)
DISTORTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as they are": lambda logits: logits,
    "doubled": lambda logits: 2 * logits,
    "shifted by 1": lambda logits: logits + 1,
}


def measure(table: Predictions, share: float, distort: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """Mean log loss on other groups: left alone, by the least loss of cross-validation, by tenor's rule."""
    names, codes = np.unique(table.groups.tolist(), return_inverse=True)
    draws, found, logits = np.random.default_rng(0), [], distort(table.logits)
    for _ in range(DRAWS):
        own = (draws.random(len(names)) < share)[codes]
        if np.bincount(table.labels[own], minlength=2).min() < 10:
            continue
        groups = codes[own]
        chosen = fit_calibrator(table.labels[own], logits[own], groups=groups)
        least = min(chosen.log_losses, key=lambda method: chosen.log_losses[method], default="identity")
        fits = [
            fit_calibrator(table.labels[own], logits[own], method, groups=groups)
            for method in ("identity", least)
        ]
        found.append([log_loss(table.labels[~own], fit.apply(logits[~own])) for fit in (*fits, chosen)])
    return np.mean(found, axis=0).tolist()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("predictions", nargs="+", type=Path)
    print("| scores | logits | share of groups | left alone | least loss | within a standard error |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for path in parser.parse_args().predictions:
        table = tenor.read_predictions(path, splits=["validation", "test"]).labelled()
        for name, distort in DISTORTIONS.items():
            for share in SHARES:
                cells = " | ".join(f"{value:.4f}" for value in measure(table, share, distort))
                print(f"| {path.stem} | {name} | {share} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
