"""Search for settings by their score on validation: one training a trial, the best model published at the end.

A tuning folder beside the model holds its state, from which it goes on after any kill::

    MODEL.tune/config.json                what is searched, on which corpus
    MODEL.tune/trials.jsonl               one finished trial a line, as JSON
    MODEL.tune/trial-0003.safetensors     its model; while it trains, its checkpoints in trial-0003.run

A proposal is a function of the seed and of the finished trials, so a search that was killed goes on to the same trials
and the same model; this table is all the state there is, rewritten whole, where a storage of optuna's appends or locks.
Knows nothing of test data: no function here reads the test split.
"""

from __future__ import annotations

import inspect
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from tenor.arguments import check_real, check_whole, require_flags
from tenor.corpus.copies import OnCopies, check_on_copies
from tenor.corpus.corpus import open_corpus
from tenor.devices import Runtime, start_runtime
from tenor.errors import CorpusError, StorageError, TrainingError, UsageError
from tenor.files import publish_file, write_bytes
from tenor.logits import to_probs
from tenor.metrics.intervals import Interval, bootstrap_metrics
from tenor.models.model_file import find_model_path, load_model, read_metadata
from tenor.models.scoring import score_view
from tenor.progress import progress_bar
from tenor.training.checkpoint import Every, RunFolder
from tenor.training.history import history_path
from tenor.training.preparation import FEW_GROUPS, AuditedData, TrainingData, fit_data, prepare_data
from tenor.training.search_space import (
    DEFAULT_SPACE,
    Choices,
    Range,
    Space,
    Value,
    check_space,
    contains,
    propose,
    require_optuna,
)
from tenor.training.settings import TrainSettings
from tenor.training.train import train_model, train_on

logger = logging.getLogger(__name__)

#: What train_model does unless told otherwise, by setting.
DEFAULTS: dict[str, Any] = {
    field.name: inspect.signature(train_model).parameters[field.name].default
    for field in fields(TrainSettings)
    if field.name not in ("level", "seed")
}
_CHECKPOINT_EVERY_S = 300.0


@dataclass(frozen=True)
class Trial:
    """One finished training of a tuning.

    Attributes:
        number: from 0.
        settings: those that are searched.
        score: the best epoch's on validation; None where training failed.
        best_epoch: whose weights the model has; 0 = before any training. None where training failed.
        seconds: wall time of the process that finished it.
        error: why it failed; None where it did not.
    """

    number: int
    settings: dict[str, Value]
    score: float | None
    best_epoch: int | None
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class TuneResult:
    """What a tuning found.

    Attributes:
        path: the best model, published.
        best: its trial; of equal scores the first.
        monitor: the validation score that was maximised.
        interval: the 95% interval of the best score, by resampling validation groups. It knows nothing of the choice
            among the trials, which makes the score itself optimistic.
        trials: all, in order.
        defaults: what train_model does by default, for the settings that are searched.
    """

    path: Path
    best: Trial
    monitor: str
    interval: Interval
    trials: tuple[Trial, ...]
    defaults: dict[str, Value]


def tune_model(
    level: str,
    dataset_path: str | Path,
    *,
    trials: int = 20,
    budget_s: float | None = None,
    space: Mapping[str, Range | Sequence[Value]] | None = None,
    model_path: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    device: str | None = None,
    copies: OnCopies = "refuse",
    progress: bool = True,
    **fixed_settings: Any,  # noqa: ANN401 - any setting of train_model
) -> TuneResult:
    """Train with several settings, and keep the model with the best score on validation.

    The first trial has train_model's own value of each setting where that lies in the space, and a random one where it
    does not; up to the tenth the others are random, and from then on proposed by a tree-structured Parzen estimator. No
    trial is cut short but by its own patience. All have the same training seed.

    Args:
        level: ``"conversation"`` or ``"author"``.
        dataset_path: an analyzed corpus with splits.
        trials: how many in all, those before a resume included.
        budget_s: no trial begins once the finished ones took so many seconds together; None = no such bound. The
            first always runs.
        space: what to search: name -> Range or choices; the other settings stay as they are by default. None searches
            all of DEFAULT_SPACE.
        model_path: where the best model is written; default ``models/<level>_classifier.pt``. The tuning's folder
            stands beside it, with ``.tune`` for the suffix; once all is done it may be removed.
        resume: go on with the trials of an earlier call, killed or finished.
        seed: of the proposals and of every training.
        device: as in train_model.
        copies: as in train_model.
        progress: show a bar of the trials.
        fixed_settings: other settings of train_model, such as ``num_epochs`` or ``monitor``, the same in all trials.

    Raises:
        MissingExtraError: optuna is not installed.
        UsageError: an argument outside its values, or a space that holds settings outside theirs.
        StorageError: there are trials already and `resume` is False, or a file cannot be written.
        TrainingError: every trial failed, validation has one class only, or a resume with other data or settings.
        CorpusError, SplitError: as train_model.
    """
    require_flags(resume=resume, progress=progress)
    require_optuna()
    trials = check_whole("trials", trials, 1, 10**6)
    if budget_s is not None:
        budget_s = check_real("budget_s", budget_s, 0.0, False, 1e9, True)
    check_on_copies(copies)
    checked, base = resolve(level, dataset_path, space, fixed_settings, seed)
    path = find_model_path(model_path, level)
    runtime = start_runtime(device, base.mixed_precision, (), str(path.parent))
    data = _Prepared(dataset_path, copies, base)
    base = replace(base, context=data.audited.context)
    folder = RunFolder(path.with_name(path.stem + ".tune"))
    with folder.locked():
        done = _open_folder(folder, _config(checked, base, data.audited, runtime), resume)
        with progress_bar("tuning", trials, enabled=progress) as advance:
            advance(len(done))
            while len(done) < trials and not (done and _is_spent(budget_s, done)):
                done.append(_run_trial(folder.path, done, checked, base, data, runtime))
                _write_trials(folder.path, done)
                advance(1)
        best = _find_best(folder.path, done)
        source = _trial_path(folder.path, best.number)
        for old, new in ((source, path), (history_path(source), history_path(path))):
            with publish_file(new) as temporary:
                shutil.copyfile(old, temporary)
    interval = _measure(path, data.audited, base.monitor, runtime, seed)
    return TuneResult(
        path, best, base.monitor, interval, tuple(done), {name: DEFAULTS[name] for name in checked}
    )


def resolve(
    level: str,
    dataset_path: str | Path,
    space: Mapping[str, Range | Sequence[Value]] | None,
    fixed: Mapping[str, Any],
    seed: int,
) -> tuple[dict[str, Range | Choices], TrainSettings]:
    """The checked space, and the settings of a trial before its own are put in.

    Raises:
        UsageError: unknown names, one that is both searched and fixed, or values that training would refuse.
    """
    for name in fixed:
        if name not in DEFAULTS:
            raise UsageError(
                f"expected a setting of train_model, one of {', '.join(DEFAULTS)}, found {name!r}"
            )
    checked = None if space is None else check_space(space)
    has_text = open_corpus(dataset_path).has_text
    if checked is None:
        chosen: dict[str, Any] = {name: values for name, values in DEFAULT_SPACE.items() if name not in fixed}
        if "prior" in chosen and not has_text:
            chosen["prior"] = ("auto", "none")
        checked = check_space(chosen)
    priors = checked.get("prior", (fixed.get("prior"),))
    if not has_text and not isinstance(priors, Range) and "lexical" in priors:
        raise CorpusError(f"{dataset_path}: prior='lexical' needs text, found none (search prior=auto,none)")
    both = sorted(checked.keys() & fixed.keys())
    if both:
        raise UsageError(f"expected each setting either searched or fixed, found both of {', '.join(both)}")
    values = {"level": level, "seed": seed, **DEFAULTS, **fixed}
    values["kernel_sizes"] = tuple(values["kernel_sizes"])
    base = TrainSettings(**values)
    for name, found in checked.items():
        for value in (found.low, found.high) if isinstance(found, Range) else found:
            changed: dict[str, Any] = {name: value}
            replace(base, **changed)  # is refused where the value is, or does not fit what is fixed
    return checked, base


class _Prepared:
    """What trials read, prepared once for each prior: nothing else that is searched changes it."""

    def __init__(self, dataset_path: str | Path, copies: OnCopies, base: TrainSettings) -> None:
        self.audited = prepare_data(dataset_path, base, copies=copies)
        self._known: dict[str, TrainingData] = {}
        view = self.audited.validation
        if len(set(view.labels.tolist())) < 2:
            raise TrainingError(
                f"{self.audited.corpus.path}: tuning compares scores on validation, which needs labels of at least two "
                f"classes at level {base.level}, found one (label more, or give validation a larger share)"
            )
        groups = view.groups.count_distinct()
        if groups < FEW_GROUPS:
            logger.warning(
                "validation has only %d groups: which trial is best is mostly chance (search few settings)",
                groups,
            )

    def of(self, settings: TrainSettings) -> TrainingData:
        """The data for these settings."""
        if settings.prior not in self._known:
            self._known[settings.prior] = fit_data(self.audited, settings)
        return self._known[settings.prior]


def _config(space: Space, base: TrainSettings, data: AuditedData, runtime: Runtime) -> dict[str, Any]:
    """All that decides the trials: what a resumed tuning must share."""
    searched = {
        name: asdict(values) if isinstance(values, Range) else list(values) for name, values in space.items()
    }
    return {
        "space": searched,
        **{name: value for name, value in base.to_json().items() if name not in space},
        "corpus": data.corpus.info.fingerprint,
        "split_hash": data.corpus.info.split_hash,
        "classes": list(data.train.classes),
        "device": runtime.device.type,
        "torch": torch.__version__,
    }


def _open_folder(folder: RunFolder, config: dict[str, Any], resume: bool) -> list[Trial]:
    """The finished trials of a tuning to go on with; none of one that begins."""
    if not folder.exists():
        folder.start(config)
        return []
    if not resume:
        raise StorageError(
            f"{folder.path} holds an earlier tuning: go on with it (resume, --resume), remove it, or choose another "
            "model path"
        )
    folder.require_same_config(config)
    return read_trials(folder.path)


def read_trials(folder: Path) -> list[Trial]:
    """The finished trials of a tuning folder.

    Raises:
        TrainingError: the file is not what a tuning wrote.
    """
    path = folder / "trials.jsonl"
    if not path.exists():
        return []
    try:
        return [Trial(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: expected one trial a line as a tuning writes it (start anew: remove {folder})"
        ) from error


def _write_trials(folder: Path, trials: Sequence[Trial]) -> None:
    lines = (json.dumps(asdict(trial), allow_nan=False) + "\n" for trial in trials)
    write_bytes(folder / "trials.jsonl", "".join(lines).encode())


def _is_spent(budget_s: float | None, done: Sequence[Trial]) -> bool:
    return budget_s is not None and sum(trial.seconds for trial in done) >= budget_s


def _trial_path(folder: Path, number: int) -> Path:
    return folder / f"trial-{number:04d}.safetensors"


def _run_trial(
    folder: Path,
    done: Sequence[Trial],
    space: Space,
    base: TrainSettings,
    data: _Prepared,
    runtime: Runtime,
) -> Trial:
    """Train once more, or take up the training that a kill interrupted: the proposal is the same."""
    started, number = time.monotonic(), len(done)
    chosen: dict[str, Any] = propose(space, [(trial.settings, trial.score) for trial in done], seed=base.seed)
    if number == 0:
        chosen |= {name: DEFAULTS[name] for name, values in space.items() if contains(values, DEFAULTS[name])}
    settings = replace(base, **chosen)
    prepared, path = data.of(settings), _trial_path(folder, number)
    try:
        every = Every(None, _CHECKPOINT_EVERY_S)
        train_on(prepared, settings, path, runtime=runtime, every=every, resume=True, progress=False)
    except TrainingError as error:
        logger.warning("trial %d failed: %s", number, error)
        return Trial(number, chosen, None, None, time.monotonic() - started, str(error))
    training = read_metadata(path).training
    score = training["validation"][settings.monitor]
    return Trial(number, chosen, score, training["best_epoch"], time.monotonic() - started)


def _find_best(folder: Path, trials: Sequence[Trial]) -> Trial:
    scores = [(trial.score, -trial.number) for trial in trials if trial.score is not None]
    if not scores:
        raise TrainingError(
            f"{folder}: all {len(trials)} trials failed, the last one so: {trials[-1].error} (search other ranges)"
        )
    return trials[-max(scores)[1]]


def _measure(path: Path, data: AuditedData, monitor: str, runtime: Runtime, seed: int) -> Interval:
    """The monitored score of a model file on validation, with its interval."""
    loaded, view = load_model(path), data.validation
    probs = to_probs(score_view(loaded, view, runtime))
    threshold = loaded.metadata.threshold
    found = bootstrap_metrics(view.labels, probs, view.groups, threshold, metrics=(monitor,), seed=seed)
    return found[monitor]
