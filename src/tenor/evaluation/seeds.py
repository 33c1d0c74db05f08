"""One model a seed, tested together: mean and spread over trainings that differ in nothing else.

The spread says what another seed would give on the same test rows; what other rows would give is in each
model's intervals. Knows nothing of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tenor.errors import UsageError
from tenor.evaluation.requests import check_test
from tenor.evaluation.sequences import test_model
from tenor.evaluation.standing import Metrics
from tenor.metrics.seeds import summarize_seeds
from tenor.metrics.weighted import METRICS
from tenor.models.model_file import read_metadata


def test_seeds(
    model_type: str,
    model_paths: Sequence[str | Path],
    dataset_path: str | Path,
    *,
    threshold: str | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> Metrics:
    """Test models that were trained with different seeds and alike in all else.

    Args:
        model_type: ``"conversation"`` or ``"author"``.
        model_paths: model files of train_model.
        dataset_path: the analyzed corpus.
        threshold: as of test_model.
        seed: as of test_model.
        device: where to compute; None = the best there is.
        progress: show bars.

    Returns:
        ``models``: path -> metrics as of test_model, without baselines; ``seeds``: metric -> mean, std, low,
        high, count, undefined over the models (tenor.metrics.seeds.SeedSummary).

    Raises:
        UsageError: no models, one model twice, or models that differ in more than their seed, with what.
        ModelFileError, SplitError: as test_model.
    """
    seed = check_test(threshold, None, seed, progress=progress)
    if not model_paths:
        raise UsageError("no models to test: pass one model file a seed")
    require_paired(model_paths)
    models = {
        str(path): test_model(
            model_type,
            path,
            dataset_path,
            baselines=False,
            threshold=threshold,
            seed=seed,
            device=device,
            progress=progress,
        )
        for path in model_paths
    }
    runs = [{name: metrics[name] for name in METRICS} for metrics in models.values()]
    return {
        "models": models,
        "seeds": {name: asdict(summary) for name, summary in summarize_seeds(runs).items()},
    }


def require_paired(model_paths: Sequence[str | Path]) -> None:
    """Refuse models that differ in more than their seed.

    Raises:
        UsageError: naming the settings, or two models of one seed.
    """
    described = [read_metadata(path) for path in model_paths]
    for path, each in zip(model_paths, described, strict=True):
        if each.is_of_own_loop:
            raise UsageError(
                f"{path}: expected a model of train_model, found one that a loop of your own trained, whose seed "
                "is not known (test each by itself)"
            )
    configs = [each.training.get("config", {}) | {"classes": each.classes} for each in described]
    first, seeds = configs[0], [config.get("seed") for config in configs]
    for path, config in zip(model_paths, configs, strict=True):
        different = [
            name
            for name in sorted(set(first) | set(config))
            if name != "seed" and first.get(name) != config.get(name)
        ]
        if different:
            raise UsageError(
                f"{model_paths[0]} and {path} differ in more than their seed: {', '.join(different)}"
            )
    if len(set(map(str, seeds))) < len(seeds):
        raise UsageError(f"the models' seeds must differ, found {', '.join(map(str, seeds))}")
