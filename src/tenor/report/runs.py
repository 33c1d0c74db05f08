"""From a run on disk to a report: a model file with its corpus, or predictions files.

Finds what belongs together (splits of one model, its history, its baselines) and hands it to ``assemble``. torch is
loaded only where a model has to score or to explain. Knows nothing of how a report looks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tenor.aggregation.trained import TRAINED
from tenor.corpus.audit import AuditReport, audit_corpus
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.errors import InputError, MissingExtraError, UsageError
from tenor.evaluation.aggregation import (
    EVERY_AGGREGATION,
    REFERENCE,
    aggregate_possible,
    find_default,
    name_default,
)
from tenor.evaluation.rivals import aggregate_baselines, aggregate_on_training
from tenor.evaluation.standing import find_baselines
from tenor.evaluation.thresholds import describe_splits
from tenor.files import require_path, sha256_file
from tenor.models.metadata import ModelMetadata
from tenor.predictions import Label, Predictions, concatenate_predictions, read_predictions
from tenor.report.levels import LEVELS, ScoredLevel, describe_aggregation, describe_rule

Embeddings = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)

_WITHOUT_VALIDATION = (
    "Profiles are left out: their threshold is chosen on validation, and no validation row here has a label (predict "
    "with --split all, or put the model's file beside the predictions)."
)
_WITHOUT_CORPUS = "The baselines learn their aggregation on validation, for there is no corpus here."


def score_model(
    model_path: Path, corpus: Corpus, *, seed: int = 0, device: str | None = None, progress: bool = False
) -> list[ScoredLevel]:
    """Score validation and test with a model, at its level and, of an author model, at level profile.

    Raises:
        ModelFileError, CorpusError, SplitError: as tenor.evaluation.predict.
    """
    from tenor.devices import start_runtime
    from tenor.evaluation.profiles import AuthorScores
    from tenor.evaluation.scoring import Scorer
    from tenor.models.model_file import read_metadata

    metadata = read_metadata(model_path)
    if metadata.level == "author":
        scores = AuthorScores.open(model_path, corpus.path, device=device, progress=progress)
        reads = _describe_reads(scores.scorer.count_read(corpus, "author"))
        notes = (*reads, *_describe_start(metadata))
        own = ScoredLevel(scores.sequences, "tenor", model_path, metadata, notes=notes)
        author = add_baselines(own, corpus)
        profile = make_profiles(author, scores.embeddings, corpus, seed=seed)
        return [author, replace(profile, notes=(*profile.notes, *_describe_reads(scores.count_read())))]
    scorer = Scorer.open(model_path, start_runtime(device), progress=progress)
    predictions = scorer.score(corpus, ("validation", "test"), labelled=True, optional=("validation",))
    reads = _describe_reads(scorer.count_read(corpus, scorer.level))
    own = ScoredLevel(predictions, "tenor", model_path, metadata, notes=(*reads, *_describe_start(metadata)))
    return [add_baselines(own, corpus)]


def _describe_start(metadata: ModelMetadata) -> tuple[str, ...]:
    return tuple(f"{remark[0].upper()}{remark[1:]}." for remark in metadata.remarks)


def _describe_reads(count: int | None) -> tuple[str, ...]:
    if count is None:
        return ()
    times = "for the first time" if count == 1 else f"{count} times"
    return (f"The test split was read {times} at this level.",)


def add_baselines(level: ScoredLevel, corpus: Corpus) -> ScoredLevel:
    """Fit baselines on the corpus's training split, to stand beside a level of sequences."""
    baselines, notes = find_baselines(corpus, level.predictions, threshold=level.threshold_rule)
    # the reason may name groups, which a report must not
    note = ("Baselines could not be fitted to this corpus; tenor test says why.",) if notes else ()
    return replace(level, baselines=baselines, notes=(*level.notes, *note))


def require_measurable(predictions: Predictions) -> None:
    """Refuse what a report can say nothing of.

    Raises:
        UsageError: no row of split test has a label.
    """
    if not (predictions.in_split("test").labels >= 0).any():
        raise UsageError(
            f"level {predictions.level}: a report measures labelled rows of split test, found none among "
            f"{len(predictions):,} (predict with --split all, of a corpus with labels)"
        )


def make_profiles(
    author: ScoredLevel, embeddings: Embeddings | None = None, corpus: Corpus | None = None, *, seed: int = 0
) -> ScoredLevel:
    """Aggregate author sequences in every way that there is; the level's own is the one that profiles to act on have.

    Args:
        author: the author level, with its baselines.
        embeddings: (S, E) of its sequences, for attention.
        corpus: whose training sequences the baselines learn the model's aggregation on; None = on validation.
        seed: of what is learned.
    """
    require_measurable(author.predictions)
    rule = author.threshold_rule
    trained = None if author.metadata is None else author.metadata.trained_aggregation
    if trained is not None and not _can_choose(author.predictions):
        rule = trained.rule  # by another one its threshold would have to be chosen anew
    tables = aggregate_possible(
        author.predictions, threshold=rule, embeddings=embeddings, trained=trained, seed=seed
    )
    shown = name_default(trained)
    notes = [
        "A profile's label is the majority of its author's sequences; ties count as positive.",
        describe_aggregation(tables, trained, is_model_known=author.metadata is not None),
        *describe_rule(author),
    ]
    level = ScoredLevel(tables[shown], shown, author.model_path, author.metadata, aggregations=tables)
    baselines, more = _aggregate_rivals(level, author.baselines, corpus, seed)
    return replace(level, baselines=baselines, notes=(*notes, *more))


def _aggregate_rivals(
    level: ScoredLevel, sequences: Mapping[str, Predictions], corpus: Corpus | None, seed: int
) -> tuple[Mapping[str, Predictions], tuple[str, ...]]:
    """Baselines' profiles, made as the level's own are, and what to know of them."""
    rule = level.threshold_rule
    trained = None if level.metadata is None else level.metadata.trained_aggregation
    if not sequences:
        return {}, ()
    if level.name not in (TRAINED, *EVERY_AGGREGATION) or (level.name == TRAINED and trained is None):
        found = aggregate_baselines(sequences, REFERENCE, threshold=rule, seed=seed)
        return found, (f"The baselines' profiles are by the {REFERENCE}.",)
    if level.name != TRAINED or trained is None:
        return aggregate_baselines(sequences, level.name, threshold=rule, seed=seed), ()
    if corpus is None:
        found = aggregate_baselines(sequences, trained.fitted.method, threshold=rule, seed=seed)
        return found, (_WITHOUT_CORPUS,)
    found, notes = aggregate_on_training(sequences, corpus, trained.fitted.method, threshold=rule, seed=seed)
    # the reason may name groups, which a report must not
    return found, ("The baselines' profiles are by the mean; tenor profile says why.",) if notes else ()


def read_run(run: Path) -> list[ScoredLevel]:
    """Read a predictions file, or all in a folder: one model a level, tables without a model are baselines.

    Splits of one model may stand in several files. Profiles are aggregated anew from author sequences where the
    folder has them, unless it has profiles of the same model, or nothing that their threshold could come from.

    Raises:
        InputError: a file that cannot be read, where it is the only one.
        UsageError: no predictions at all, or two models at one level.
    """
    tables = _read_tables(run)
    levels = []
    for level in LEVELS:
        own = {path: table for path, table in tables.items() if table.level == level}
        if own:
            levels.append(_collect_level(run, level, own))
    found = {level.predictions.level: level for level in levels}
    author = found.get("author")
    if author is None or "profile" in found:
        return levels
    if _has_threshold_for_profiles(author):
        return [*levels, make_profiles(author)]
    found["author"] = replace(author, notes=(*author.notes, _WITHOUT_VALIDATION))
    return list(found.values())


def _has_threshold_for_profiles(author: ScoredLevel) -> bool:
    """Whether the model's file has one, validation can choose one, or none is needed."""
    trained = None if author.metadata is None else author.metadata.trained_aggregation
    return trained is not None or len(author.predictions.classes) > 2 or _can_choose(author.predictions)


def _can_choose(predictions: Predictions) -> bool:
    """Whether there is a labelled validation row to choose a threshold on."""
    return bool((predictions.in_split("validation").labels >= 0).any())


def _read_tables(run: Path) -> dict[Path, Predictions]:
    if not run.is_dir():
        return {run: read_predictions(run)}
    tables = {}
    for path in sorted(run.glob("*.parquet")):
        try:
            tables[path] = read_predictions(path)
        except InputError as error:
            logger.warning("left out: %s", error)
    if not tables:
        raise UsageError(
            f"{run} holds no predictions files (*.parquet): make some with `tenor predict MODEL DATA --split all`, or "
            "name a model file and --data"
        )
    return tables


def _collect_level(run: Path, level: str, tables: Mapping[Path, Predictions]) -> ScoredLevel:
    """The model's table and its baselines'; at level profile every table is an aggregation."""
    hashes = {table.model_hash for table in tables.values() if table.model_hash}
    if len(hashes) > 1:
        names = ", ".join(sorted(path.name for path, table in tables.items() if table.model_hash))
        raise UsageError(f"{run} has several models of level {level}: {names} (a report is about one)")
    own = {path: table for path, table in tables.items() if table.model_hash or not hashes}
    others = [table for path, table in tables.items() if path not in own]
    if level == "profile":
        named = {_name_aggregation(path): table for path, table in own.items()}
        best = find_default(named)
        return ScoredLevel(named[best], best, *_find_model(run, named[best]), aggregations=named)
    if not hashes and len({table.model for table in own.values()}) > 1:
        raise UsageError(f"{run} has baselines of level {level}, but no model's predictions beside them")
    try:
        predictions = concatenate_predictions(list(own.values()))
    except UsageError as error:
        names = ", ".join(path.name for path in own)
        raise UsageError(
            f"{run}: {names} are no parts of one table of level {level}: {error} (report on one of them)"
        ) from error
    baselines: dict[str, Predictions] = {}
    for name in dict.fromkeys(table.model for table in others):
        baselines[name] = concatenate_predictions([table for table in others if table.model == name])
    return ScoredLevel(predictions, "tenor", *_find_model(run, predictions), baselines=baselines)


def _name_aggregation(path: Path) -> str:
    """The longest name of an aggregation in the file's name; else the file's name."""
    known = [name for name in EVERY_AGGREGATION if name in path.stem]
    if not known and TRAINED in re.split(r"[^a-z]+", path.stem.lower()):
        return TRAINED
    return max(known, key=len) if known else path.stem


def _find_model(run: Path, predictions: Predictions) -> tuple[Path | None, ModelMetadata | None]:
    """The model file beside the predictions, if it is the one that made them."""
    from tenor.models.model_file import read_metadata

    path = (run if run.is_dir() else run.parent) / Path(predictions.model).name
    if not predictions.model_hash or not path.is_file() or sha256_file(path) != predictions.model_hash:
        return None, None
    return path, read_metadata(path)


def audit_run(corpus: Corpus) -> tuple[AuditReport, tuple[str, ...]]:
    """Audit the corpus; without datasketch all but the near-duplicates, and a note says so."""
    try:
        return audit_corpus(corpus), ()
    except MissingExtraError as error:
        return audit_corpus(corpus, near_duplicates=False), (
            f"near-duplicate texts were not looked for: {error}",
        )


def open_run(
    run: str | Path,
    data: str | Path | None = None,
    *,
    class_names: Collection[Label] = (),
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> tuple[list[ScoredLevel], Corpus | None]:
    """The levels of a run, with baselines where there is a corpus to fit them on.

    Args:
        run: a model file, a predictions file, or a folder of predictions files.
        data: the analyzed corpus; needed for a model file.
        class_names: classes that must be the run's, which is known before anything is scored.
        seed: of what is learned.
        device: where a model computes.
        progress: show bars.

    Raises:
        InputError: nothing at `run`.
        UsageError: a model file without `data`, a class that there is not, or what read_run refuses.
    """
    path = require_path(run, "run")
    corpus = None if data is None else open_corpus(data)
    if not path.exists():
        raise InputError("there is no such file or folder", path=path)
    if path.is_dir() or _is_parquet(path):
        levels = read_run(path)
        _require_known(class_names, [label for level in levels for label in level.predictions.classes])
        if corpus is not None:
            levels = _with_corpus(levels, corpus, seed)
        return levels, corpus
    if corpus is None:
        raise UsageError(
            f"{path} is a model file, which needs the corpus that it is to be tested on (--data)"
        )
    from tenor.models.model_file import read_metadata

    _require_known(class_names, read_metadata(path).classes)
    return score_model(path, corpus, seed=seed, device=device, progress=progress), corpus


def _require_known(class_names: Collection[Label], classes: Sequence[Label]) -> None:
    known = dict.fromkeys(map(str, classes))
    unknown = [str(label) for label in class_names if str(label) not in known]
    if unknown:
        raise UsageError(f"class names: expected some of {', '.join(known)}, found {unknown[0]}")


def _with_corpus(levels: Sequence[ScoredLevel], corpus: Corpus, seed: int) -> list[ScoredLevel]:
    """Baselines fitted anew for sequences, and aggregated for profiles."""
    found: dict[str, ScoredLevel] = {}
    for level in levels:
        name = level.predictions.level
        if name != "profile":
            level = add_baselines(_with_caution(level, corpus), corpus)
        elif "author" in found:
            rivals, notes = _aggregate_rivals(level, found["author"].baselines, corpus, seed)
            kept = [note for note in level.notes if note != _WITHOUT_CORPUS]
            level = replace(level, baselines=rivals, notes=(*kept, *notes))
        found[name] = level
    return list(found.values())


def _with_caution(level: ScoredLevel, corpus: Corpus) -> ScoredLevel:
    """The same, also where the predictions are of an earlier version, whose files have no caution."""
    if level.predictions.caution is not None or level.metadata is None:
        return level
    caution = describe_splits(level.metadata, corpus)
    return replace(level, predictions=replace(level.predictions, caution=caution))


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) == b"PAR1"
