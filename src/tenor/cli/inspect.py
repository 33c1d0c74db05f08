"""``tenor inspect``: what a corpus, a model file or a predictions file is."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenor.cli.options import JsonOption
from tenor.cli.output import format_cell, print_fields, print_json, print_line, print_table
from tenor.errors import InputError, UsageError, describe_value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tenor.corpus.info import CorpusInfo
    from tenor.models.model_file import ModelMetadata
    from tenor.predictions import Floats, Predictions, PredictionSets

SUMMARY = "Say what a corpus, model or predictions file is."

EXAMPLES = """
\b
Examples:
  tenor inspect analyzed
  tenor inspect models/conversation.safetensors
  tenor inspect predictions.parquet --json
  tenor inspect profiles.parquet --top 20
  tenor inspect profiles.parquet --csv profiles.csv
"""

PARQUET_MAGIC = b"PAR1"
_START_BYTES = 4096


def run(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A corpus, a model file or a predictions file.")
    ],
    top: Annotated[
        int | None,
        typer.Option(min=1, metavar="ROWS", help="List the highest scores of a predictions file too."),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a predictions file's rows as CSV too, for a spreadsheet."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say what a path holds; nothing is judged by its name, and nothing in it is run."""
    found = open_path(path)
    sets = find_sets(path, found)
    fields = describe(found)
    if sets is not None:
        fields |= {"abstention_alpha": sets.rule.get("alpha"), "without_decision": sets.abstained}
    if top is not None or csv is not None:
        fields |= read_rows(path, found, sets, top, csv)
    if json:
        print_json(fields)
        return
    kind, rows = fields.pop("kind"), fields.pop("highest", None)
    print_fields(flatten_fields(fields), title=f"{path}: {kind}")
    if rows:
        print_table(
            [name.replace("_", " ") for name in rows[0]],
            [list(row.values()) for row in rows],
            title="highest scores",
        )
    elif rows is not None:
        print_line("no rows to list")
    if csv is not None:
        print_line(f"{csv}: the {fields['rows']:,} rows as CSV")


def find_sets(path: Path, found: CorpusInfo | ModelMetadata | Predictions) -> PredictionSets | None:
    """What a file of predictions says of each row where the model was asked to abstain."""
    from tenor.predictions import Predictions, read_sets

    return read_sets(path) if isinstance(found, Predictions) else None


def read_rows(
    path: Path,
    found: CorpusInfo | ModelMetadata | Predictions,
    sets: PredictionSets | None,
    top: int | None,
    csv: Path | None,
) -> dict[str, Any]:
    """Write the rows of predictions as CSV, and list the highest, where that is asked for.

    Raises:
        UsageError: what was found has no rows, or the CSV's name is another file's or ends otherwise.
    """
    from tenor.files import require_apart
    from tenor.predictions import Predictions, export_csv

    if not isinstance(found, Predictions):
        flag = "--top" if csv is None else "--csv"
        raise UsageError(f"{flag} reads the rows of a predictions file, and {path} is no such: leave it out")
    if csv is not None and csv.suffix.lower() != ".csv":
        raise UsageError(f"--csv: expected a name that ends with .csv, found {csv}")
    require_apart({"--csv": csv}, {"predictions": path})
    highest = {} if top is None else {"highest": list_highest(found, top, sets)}
    if csv is not None:
        export_csv(found, csv, sets=sets)
    return highest


def open_path(path: Path) -> CorpusInfo | ModelMetadata | Predictions:
    """What a path holds, whatever its name.

    Raises:
        InputError: there is nothing at the path, or a text.
        TenorError: what is there is none of the three, or damaged.
    """
    if path.is_dir():
        from tenor.corpus.corpus import open_corpus

        return open_corpus(path).info
    if not path.is_file():
        raise InputError("there is no such file or folder", path=path)
    with path.open("rb") as handle:
        start = handle.read(_START_BYTES)
    if start.startswith(PARQUET_MAGIC):
        from tenor.predictions import read_predictions

        return read_predictions(path)
    if start[8:9] != b"{" and is_text(start):
        raise InputError(
            "expected a corpus, a model file or a predictions file, found a text",
            path=path,
            remedy="if it holds conversations: tenor import makes it a corpus",
        )
    from tenor.models.model_file import read_metadata

    return read_metadata(path)


def describe(found: CorpusInfo | ModelMetadata | Predictions) -> dict[str, Any]:
    """The facts of what open_path found, as plain JSON values; ``kind`` says which of the three it is."""
    from tenor.corpus.info import CorpusInfo
    from tenor.predictions import Predictions

    if isinstance(found, CorpusInfo):
        return describe_corpus(found)
    return describe_predictions(found) if isinstance(found, Predictions) else describe_model(found)


def is_text(start: bytes) -> bool:
    """Whether the start of a file is UTF-8 without NUL; its last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return len(start) > 0 and b"\0" not in start


def describe_corpus(info: CorpusInfo) -> dict[str, Any]:
    """A corpus's facts."""
    return {
        "kind": "corpus" if info.input_size is None else "analyzed corpus",
        **{name: count for name, count in info.counts.items() if count},
        "classes": {level: list(classes) for level, classes in info.classes.items()},
        "has_text": info.has_text,
        "has_timestamps": info.has_timestamps,
        "input_size": info.input_size,
        "encoder": None if info.encoder is None else info.encoder.name,
        "encoder_hash": None if info.encoder is None else info.encoder.hash,
        "split_seed": info.split.seed,
        "split_fractions": list(info.split.fractions),
        "split_by": info.split.by,
        "sources": [source.name for source in info.sources],
        "fingerprint": info.fingerprint,
        "format_version": info.format_version,
    }


def describe_model(metadata: ModelMetadata) -> dict[str, Any]:
    """A model file's facts."""
    return {
        "kind": "model",
        "level": metadata.level,
        "classes": list(metadata.classes),
        "threshold": metadata.threshold,
        "threshold_objective": metadata.threshold_objective,
        "profile_thresholds": dict(metadata.profile_thresholds),
        "aggregation": None if metadata.aggregation is None else metadata.aggregation["method"],
        "config": dict(metadata.config),
        "training": dict(metadata.training),
        "encoder": metadata.encoder_name,
        "encoder_hash": metadata.encoder_hash,
        "split_hash": metadata.split_hash,
        "tenor_version": metadata.tenor_version,
        "format_version": metadata.format_version,
    }


def describe_predictions(predictions: Predictions) -> dict[str, Any]:
    """A predictions file's facts."""
    threshold = predictions.threshold
    return {
        "kind": "predictions",
        "level": predictions.level,
        "rows": len(predictions),
        "labelled": int((predictions.labels >= 0).sum()),
        "predicted_positive": None if threshold is None else int((predictions.probs >= threshold).sum()),
        "groups": predictions.groups.count_distinct(),
        "splits": {split: int((predictions.splits == split).sum()) for split in predictions.splits.rank()[1]},
        "classes": list(predictions.classes),
        "threshold": threshold,
        **describe_shares(predictions.known_words),
        "calibration": predictions.calibration,
        "caution": predictions.caution,
        "model": predictions.model,
        "model_hash": predictions.model_hash,
    }


def describe_shares(shares: npt.NDArray[np.float32] | None) -> dict[str, float | None]:
    """The middle and the lowest twentieth of the shares of known words, and how many rows have no word."""
    if shares is None:
        return {}
    from tenor.lexical.familiarity import summarize_shares

    found = summarize_shares(shares)
    if found is None:
        return {"rows_without_a_word": len(shares)}
    wordless = len(shares) - int(found["texts"])
    return {
        "known_words_median": found["median"],
        "known_words_lowest_twentieth": found["low"],
        "rows_without_a_word": wordless,
    }


def list_highest(
    predictions: Predictions, count: int, sets: PredictionSets | None = None
) -> list[dict[str, Any]]:
    """The rows with the highest scores, the highest first, equal ones as they stand in the file.

    Of several classes a row's score is that of the class that it decides for. With sets a row also has the decision
    that these leave, None where they leave none.
    """
    import numpy as np

    from tenor.predictions import find_predicted

    def best(rows: Predictions) -> Floats:
        return rows.probs if rows.probs.ndim == 1 else rows.probs.max(axis=1)

    order = np.argsort(-best(predictions), kind="stable")[:count]
    rows = predictions.select(order)
    named = (("conversation", rows.conversation_ids), ("author", rows.authors), ("split", rows.splits))
    columns: dict[str, Any] = {name: strings for name, strings in named if strings is not None}
    columns["label"] = [None if code < 0 else rows.classes[code] for code in rows.labels]
    columns["sequences" if rows.level == "profile" else "messages"] = rows.lengths.tolist()
    columns["score"] = best(rows).tolist()
    if rows.known_words is not None:
        columns["known_words"] = [
            None if np.isnan(share) else round(share, 2) for share in rows.known_words.tolist()
        ]
    predicted = find_predicted(rows)
    if predicted is not None:
        columns["predicted"] = [rows.classes[code] for code in predicted]
    if sets is not None:
        decided = sets.decide()[order]
        columns["decision"] = [None if code < 0 else rows.classes[code] for code in decided]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def flatten_fields(fields: dict[str, Any]) -> dict[str, object]:
    """One line a name: plain mappings as ``name value; ...``, nested ones as several lines, empty ones as none."""
    lines: dict[str, object] = {}
    for name, value in fields.items():
        label = name.replace("_", " ")
        if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
            lines |= {f"{label} {inner}": part for inner, part in flatten_fields(value).items()}
        elif isinstance(value, dict):
            if value:
                lines[label] = "; ".join(f"{inner} {format_field(part)}" for inner, part in value.items())
        else:
            lines[label] = format_field(value)
    return lines


def format_field(value: object) -> str:
    """A value as text: lists with commas, six digits of a float, a dash for what is not there."""
    if isinstance(value, list | tuple):
        parts = (describe_value(part) if isinstance(part, str) else part for part in value)
        return ", ".join(map(format_field, parts)) if value else "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else format_cell(value)
