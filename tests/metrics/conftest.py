"""The plain loops and generated scores that the metric tests share."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from types import ModuleType

import numpy as np
import pytest

#: Labels (N,), probs (N,), groups (N,).
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def metric_loop() -> ModuleType:
    """tests/reference/metric_loop.py"""
    path = Path(__file__).parents[1] / "reference" / "metric_loop.py"
    spec = importlib.util.spec_from_file_location("metric_loop", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_clustered(
    rng: np.random.Generator, groups: int, size: int, rate: float = 0.3, icc: float = 0.3
) -> Rows:
    """Rows in groups; labels and scores each have an intraclass correlation of `icc` (on the latent scale)."""
    codes = np.repeat(np.arange(groups), size)

    def latent() -> np.ndarray:
        return np.sqrt(icc) * rng.normal(size=groups)[codes] + np.sqrt(1 - icc) * rng.normal(
            size=groups * size
        )

    labels = (latent() > NormalDist().inv_cdf(1 - rate)).astype(np.int64)
    return labels, 1 / (1 + np.exp(-(1.2 * labels + latent() - 1))), codes


@pytest.fixture(scope="session")
def clustered() -> Callable[..., Rows]:
    """make_clustered"""
    return make_clustered
