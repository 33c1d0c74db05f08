"""The main job on real chats, end to end: which chats leave a participant unimpressed?

Imports the ChitChat challenge (7,168 two-person chats, in the package ``chitchat-dataset``), encodes, trains both
levels, evaluates profiles, and writes everything into one folder. Knows nothing that the public functions don't.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.errors import MissingExtraError
from tenor.evaluation import compare_aggregation_methods, predict, test_model
from tenor.files import write_bytes, write_json
from tenor.predictions import concatenate_predictions, write_predictions
from tenor.report.page import write_report
from tenor.report.reporting import report_run
from tenor.training.train import train_model

#: A chat whose reader rates it below this on "interesting" (1 to 10) left that reader unimpressed.
UNIMPRESSED_BELOW = 8
#: Chats with all ratings at the form's initial value were not rated by a person.
UNTOUCHED_RATING = 5
MIN_MESSAGES = 4

#: The defaults, but few epochs: the demo ends within minutes on two cores.
TRAINING: dict[str, Any] = {"num_epochs": 5}
INPUT_SIZE = 128


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        metrics: what stands in metrics.json.
        report: the page.
    """

    metrics: dict[str, Any]
    report: Path


def run_demo(out: str | Path = "demo-out", *, seed: int = 0, progress: bool = True) -> DemoResult:
    """Run the whole job; every file lands in `out`.

    Args:
        out: a folder; files of an earlier demo are replaced.
        seed: of splits, encoder and training.
        progress: show bars.

    Raises:
        MissingExtraError: the package chitchat-dataset is not installed.
    """
    out = Path(out)
    analyzed = _make_corpus(out, seed, progress)
    metrics: dict[str, Any] = {}
    for level in ("conversation", "author"):
        model = train_model(
            level, analyzed, model_path=out / f"{level}.safetensors", seed=seed, progress=progress, **TRAINING
        )
        metrics[level] = test_model(level, model, analyzed)
    metrics["profile"] = compare_aggregation_methods(out / "author.safetensors", analyzed)
    write_json(out / "metrics.json", metrics)
    return DemoResult(metrics, _write_report(out, analyzed, seed))


def _make_corpus(out: Path, seed: int, progress: bool) -> Path:
    """The chats as a user would have them, imported and encoded."""
    raw, corpus, analyzed = out / "chats.jsonl", out / "corpus", out / "analyzed"
    write_bytes(raw, "".join(json.dumps(chat) + "\n" for chat in read_chats()).encode())
    import_corpus(raw, corpus, seed=seed, replace=True, progress=progress)
    return encode_corpus(
        corpus,
        analyzed,
        encoder="lsa+dynamics",
        input_size=INPUT_SIZE,
        seed=seed,
        replace=True,
        progress=progress,
    )


def read_chats() -> Iterator[dict[str, Any]]:
    """The rated chats as tenor's JSONL objects: 2,257 of them, 19% with label 1.

    Kept are chats that somebody rated (not all ratings at the initial 5), with at least 4 messages and 2 senders.
    Both senders carry the chat's label: whose chats leave people unimpressed is the author level's question.
    """
    try:
        import chitchat_dataset
    except ImportError as error:
        raise MissingExtraError("demo", "chitchat-dataset") from error
    data = json.loads((Path(chitchat_dataset.__file__).parent / "dataset.json").read_text())
    for name, chat in data.items():
        messages = [message for block in chat["messages"] for message in block]
        ratings = {key: int(value) for key, value in chat.get("ratings", {}).items()}
        senders = {message["sender"] for message in messages}
        rated = any(value != UNTOUCHED_RATING for value in ratings.values())
        if not rated or len(messages) < MIN_MESSAGES or len(senders) < 2:
            continue
        label = int(ratings["interesting"] < UNIMPRESSED_BELOW)
        yield {
            "conversation_id": name,
            "messages": [
                {
                    "author": message["sender"],
                    "text": message["text"],
                    "timestamp": datetime.fromisoformat(message["timestamp"]).timestamp(),
                }
                for message in messages
            ],
            "label": label,
            "author_labels": {sender: label for sender in sorted(senders)},
        }


def _write_report(out: Path, analyzed: Path, seed: int) -> Path:
    """Predictions files and, from them and the models beside them, the page."""
    for level in ("conversation", "author"):
        parts = [
            predict(out / f"{level}.safetensors", analyzed, split=split) for split in ("validation", "test")
        ]
        write_predictions(concatenate_predictions(parts), out / f"{level}_predictions.parquet")
    report = report_run(
        out,
        analyzed,
        title="Which chats leave a participant unimpressed?",
        question="whether a participant rates the chat below 8 of 10 on “interesting”",
        class_names={0: "content", 1: "unimpressed"},
        num_errors=3,
        with_text=True,
        seed=seed,
    )
    return write_report(replace(report, command=f"tenor demo --out DIR --seed {seed}"), out / "report.html")
