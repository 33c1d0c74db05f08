"""A run's report from end to end: read or score, stand beside baselines, divide, explain, audit.

The one function behind ``tenor report``. Knows nothing of how a report looks.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tenor.aggregation.trained import TRAINED
from tenor.arguments import describe_found, require_flags, require_list
from tenor.corpus.corpus import Corpus
from tenor.errors import UsageError
from tenor.evaluation.calibration import fit_calibration, measure_calibration
from tenor.evaluation.familiarity import doubt_texts
from tenor.evaluation.sentences import describe_calibration, describe_choice
from tenor.evaluation.thresholds import describe_stored, describe_threshold
from tenor.metrics.intervals import FEW_GROUPS
from tenor.models.metadata import ModelMetadata
from tenor.predictions import Label, Predictions
from tenor.report.assemble import assemble_level, assemble_report, summarize_audit
from tenor.report.content import AuditFinding, LevelSection, Report
from tenor.report.levels import DEFAULT_RULE, LEVELS, ScoredLevel
from tenor.report.runs import audit_run, open_run, require_measurable
from tenor.report.subgroups import Attributes, Strings, read_attributes
from tenor.report.worst import find_worst, require_count
from tenor.training.history import EpochRecord, history_path, read_history

#: Keys of a model's training config that are no options of ``tenor train``.
_NO_OPTIONS = ("level", "corpus", "split_hash", "classes", "world_size", "device", "torch")

#: How many of the worst errors are shown, at each level, where nothing else is asked for.
NUM_ERRORS = 5


def report_run(
    run: str | Path,
    data: str | Path | None = None,
    *,
    attributes: str | Path | None = None,
    by: Sequence[str] = (),
    num_errors: int = NUM_ERRORS,
    with_text: bool = False,
    with_names: bool = False,
    title: str | None = None,
    question: str = "",
    class_names: Mapping[Label, str] | None = None,
    license: str = "",  # noqa: A002 - the model card's word
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> Report:
    """Everything that is known of a run, ready for write_report and write_model_card.

    Args:
        run: a model file, a predictions file, or a folder of predictions files (one model a level; tables without a
            model's hash are baselines).
        data: the analyzed corpus: needed for a model file; brings baselines, the audit and, where the model file is
            beside the predictions, contributions to the worst errors.
        attributes: a CSV or Parquet file with columns of the user's, joined on conversation_id, author or both.
        by: the columns that make subgroups; subgroups by length are always made.
        num_errors: how many of the worst errors are shown, at each level.
        with_text: show their messages' texts.
        with_names: show names of authors and ids of conversations.
        title: None = after the run's name.
        question: one sentence on what is predicted.
        class_names: label -> what a reader calls it.
        license: of the model, for the card.
        seed: of the bootstrap and of what is learned.
        device: where a model computes; None = the best there is.
        progress: show bars.

    Raises:
        UsageError: nothing to report on, a model file without `data`, `by` without `attributes`, a name for a class
            that there is not, or an argument of another type.
        InputError: a predictions or attributes file that cannot be read.
        ModelFileError: another encoder than the model's.
    """
    # before anything is read: a text such as 'no' would publish what it was to keep back
    require_flags(with_text=with_text, with_names=with_names, progress=progress)
    require_count(num_errors)
    _require_texts(title="" if title is None else title, question=question, license=license)
    by = require_list(by, "by", "columns")
    if bool(by) != (attributes is not None):
        raise UsageError("subgroups need both: the file (attributes) and the columns of it (by)")
    table = None if attributes is None else read_attributes(attributes, by)
    names = _require_names(class_names)
    levels, corpus = open_run(run, data, class_names=names, seed=seed, device=device, progress=progress)
    sections = [
        _make_section(level, corpus, table, num_errors, with_text, seed, device)
        for level in sorted(levels, key=lambda level: LEVELS.index(level.predictions.level))
    ]
    command = _describe_command(
        run,
        {
            "data": data,
            "attributes": attributes,
            "by": by,
            "errors": None if num_errors == NUM_ERRORS else num_errors,
            "with_text": with_text and data is not None,  # without a corpus there are no texts
            "with_names": with_names,
            "title": title,
            "question": question if question else None,
            "class_name": list({f"{label}={name}": None for label, name in names.items()}),
            "card": "card.md" if license else None,
            "license": license if license else None,
            "seed": seed,
        },
    )
    training = _describe_training(levels, data)
    report = assemble_report(
        sections,
        corpus,
        title=f"{Path(run).stem}: how good, and how sure" if title is None else title,
        question=question,
        class_names=class_names,
        audit=() if corpus is None else _audit(corpus),
        command="\n".join([*training, command]),
        seeds=_find_seeds(levels, corpus, seed),
    )
    return replace(
        report,
        unrecorded=_describe_unrecorded(data, corpus) if training else (),
        files=_list_files(levels),
        license=license,
        with_text=with_text,
        with_names=with_names,
    )


def _require_texts(**texts: object) -> None:
    """Refuse anything but texts where words are asked for, by the arguments' names."""
    for name, text in texts.items():
        if not isinstance(text, str):
            raise UsageError(f"{name}: expected a text, such as 'Who donates?', found {describe_found(text)}")


def _require_names(class_names: object) -> Mapping[Label, str]:
    """What a reader calls the classes; nothing for None."""
    if class_names is None:
        return {}
    if not isinstance(class_names, Mapping):
        raise UsageError(
            f"class names: expected a mapping, such as {{1: 'donated'}}, found {describe_found(class_names)}"
        )
    return class_names


def _make_section(
    level: ScoredLevel,
    corpus: Corpus | None,
    attributes: Attributes | None,
    num_errors: int,
    with_text: bool,
    seed: int,
    device: str | None,
) -> LevelSection:
    test = level.predictions.in_split("test").labelled()
    require_measurable(level.predictions)
    columns: dict[str, Strings] | None = None
    notes = [
        *level.notes,
        *_describe_groups(test),
        *_describe_words(level, test),
        *_describe_scores(level, corpus),
    ]
    if attributes is not None:
        columns = attributes.join(test)
        if columns is None:
            keys = " and ".join(attributes.keys)
            notes.append(
                f"Subgroups by {', '.join(attributes.columns)} are left out: the file has one row a {keys}."
            )
    path, metadata = level.model_path, level.metadata
    history: list[EpochRecord] = []
    best_epoch = None
    if path is not None and metadata is not None and level.predictions.level != "profile":
        best_epoch = metadata.training.get("best_epoch")
        if history_path(path).is_file():
            history = read_history(history_path(path))
    return assemble_level(
        level.predictions,
        name=level.name if level.predictions.level != "profile" else f"tenor, {level.name}",
        baselines=level.baselines,
        aggregations=level.aggregations,
        history=history,
        best_epoch=best_epoch,
        columns=columns,
        errors=find_worst(level, corpus, num_errors, with_text=with_text, device=device),
        notes=notes,
        seed=seed,
    )


def _describe_groups(test: Predictions) -> list[str]:
    """What the intervals are not, where test has few groups."""
    groups = test.groups.count_distinct()
    if groups >= FEW_GROUPS:
        return []
    if groups < 2:
        return [
            "All labelled rows of test are of one group: there are no intervals, and no comparison is more than two "
            "values."
        ]
    return [
        f"Test has only {groups} groups, fewer than {FEW_GROUPS}: the intervals come from resampling groups, and are "
        "rough and rather too narrow."
    ]


def _describe_words(level: ScoredLevel, test: Predictions) -> list[str]:
    """Whether test's texts are unlike the training's, where the model says what is usual."""
    if level.metadata is None:
        return []
    return [f"{remark[0].upper()}{remark[1:]}." for remark in doubt_texts(level.metadata, test)]


def _describe_scores(level: ScoredLevel, corpus: Corpus | None) -> list[str]:
    """How sure the threshold is, and whether probabilities mean what they say."""
    predictions = level.predictions
    stored = None
    if level.name == TRAINED and level.metadata is not None:
        stored = describe_stored(level.metadata, corpus)
    choice = describe_threshold(predictions, level.known_rule, stored)
    sentences = []
    if choice is not None and choice["objective"] is None:
        sentences.append(
            f"The threshold {choice['value']:.4f} comes with the predictions, and it is not known by which rule it was "
            "chosen: their file does not say (predict again, or lay the model's file beside them). What is chosen here "
            f"beside it, such as the baselines' thresholds, is chosen by {DEFAULT_RULE}."
        )
    elif choice is not None:
        sentences.append(describe_choice(choice))
    if (predictions.probs <= 1).all():
        sentences.append(_describe_calibration(predictions))
    return sentences


def _describe_calibration(predictions: Predictions) -> str:
    """Whether probabilities mean what they say; what was calibrated is not fitted anew to the rows that mended it."""
    already = predictions.calibration
    if already is not None:
        measured = describe_calibration(measure_calibration(predictions, None))
        return f"The probabilities were calibrated by {already} before they were written: {measured}."
    has_validation = (predictions.in_split("validation").labels >= 0).any()
    calibrator = fit_calibration(predictions) if has_validation else None
    return f"{describe_calibration(measure_calibration(predictions, calibrator))}."


def _audit(corpus: Corpus) -> tuple[AuditFinding, ...]:
    audit, notes = audit_run(corpus)
    return (*summarize_audit(audit), *(AuditFinding(note, "warning") for note in notes))


def _find_seeds(levels: Sequence[ScoredLevel], corpus: Corpus | None, seed: int) -> dict[str, int]:
    seeds = {} if corpus is None else {"splits": corpus.info.split.seed}
    seeds |= {
        f"training, level {level.predictions.level}": level.metadata.training["config"]["seed"]
        for level in levels
        if level.metadata is not None
        and level.predictions.level != "profile"
        and "config" in level.metadata.training
    }
    return {**seeds, "resampling": seed}


def _list_files(levels: Sequence[ScoredLevel]) -> dict[str, str]:
    models: dict[str, Predictions] = {}
    for level in levels:
        if level.predictions.level != "profile" and level.predictions.model_hash:
            models[f"model, level {level.predictions.level}"] = level.predictions
    return {role: f"{table.model}, hash {table.model_hash[:12]}" for role, table in models.items()}


def _describe_command(run: str | Path, options: Mapping[str, Any]) -> str:
    """What to type for this report; of options None and False are left out, and each of a list is said."""
    parts = ["tenor", "report", str(run), "--output", "report.html"]
    for name, value in options.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parts += [flag] if value else []
        elif value is not None:
            values = [value] if isinstance(value, str | Path | int) else value
            parts += [part for each in values for part in (flag, str(each))]
    return shlex.join(parts)


def _describe_training(levels: Sequence[ScoredLevel], data: str | Path | None) -> list[str]:
    """The commands that train the run's models again."""
    found = []
    for level in levels:
        metadata = level.metadata
        if metadata is not None and level.predictions.level != "profile" and "config" in metadata.training:
            name = "DATA" if data is None else str(data)
            path = level.predictions.model if level.model_path is None else str(level.model_path)
            command = ["tenor", "train", metadata.level, name, "--model", path, *_format_options(metadata)]
            found.append(shlex.join(command))
    return found


def _describe_unrecorded(data: str | Path | None, corpus: Corpus | None) -> tuple[str, ...]:
    """What comes before the commands, and what they lack since no file records it."""
    encoder = None if corpus is None else corpus.info.encoder
    named = "" if encoder is None else f", here with the encoder {encoder.name}"
    name = "DATA" if data is None else str(data)
    return (
        f"Before these commands {name} is made by tenor import and tenor encode{named}; their other options are not "
        "recorded.",
        "Nor is --copies of tenor train: where it stops at texts in two splits, it had --copies warn or ignore.",
    )


def _format_options(metadata: ModelMetadata) -> list[str]:
    parts = []
    for name, value in metadata.training["config"].items():
        if name not in _NO_OPTIONS:
            option = "epochs" if name == "num_epochs" else name.replace("_", "-")
            parts += [f"--{option}", _format_option(value)]
    return parts


def _format_option(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
