"""The main job through the command line, from a JSONL file to predictions, on a small corpus."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunCli = Callable[..., Any]

SMALL = (
    "--hidden-size",
    "16",
    "--num-layers",
    "1",
    "--num-heads",
    "2",
    "--kernel-sizes",
    "3",
    "--no-progress",
)
FIT = (
    "--epochs",
    "12",
    "--batch-size",
    "16",
    "--learning-rate",
    "0.01",
    "--patience",
    "4",
    "--device",
    "cpu",
)
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "average_precision")


@pytest.fixture
def succeed(run_cli: RunCli) -> Callable[..., str]:
    """A function (*arguments) that runs a command, expects success, and returns its standard output."""

    def run(*arguments: str | Path) -> str:
        done = run_cli(*arguments)
        assert (done.code, done.err) == (0, ""), done
        return str(done.out)

    return run


def test_splits_say_what_counts_do_not_show_of_authors(
    succeed: Callable[..., str], run_cli: RunCli, tmp_path: Path
) -> None:
    rows = [
        {
            "conversation_id": f"c{i}",
            "authors": ["a"],
            "text": ["x"],
            "author_labels": {"a": i % 2},
            "split": split,
        }
        for i, split in enumerate(["train", "train", "test"])
    ]
    source, corpus = tmp_path / "chats.jsonl", tmp_path / "corpus"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    succeed("import", source, corpus)
    first, second = succeed("splits", corpus).splitlines()[-2:]
    assert first.startswith(
        "1 of 1 authors has different labels in different conversations: a profile has the"
    )
    assert second.startswith(
        "1 of 1 authors stands in several splits at level author, and counts in each: test"
    )


def test_the_main_job(
    succeed: Callable[..., str], run_cli: RunCli, write_source: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_source(tmp_path / "chats.jsonl", num_conversations=120, num_authors=60, input_size=None)
    corpus, analyzed = tmp_path / "corpus", tmp_path / "analyzed"
    num_messages = sum(len(json.loads(line)["messages"]) for line in source.read_text().splitlines())

    out = succeed("import", source, corpus)
    assert out == f"{corpus}: 120 conversations, {num_messages:,} messages\n"

    out = succeed("encode", corpus, analyzed, "--input-size", "16", "--no-progress")
    assert out == f"{analyzed}: {num_messages:,} messages, 16 features each\n"

    rows = json.loads(succeed("splits", analyzed, "--json"))
    assert [(row["level"], row["split"]) for row in rows[:3]] == [
        ("conversation", split) for split in ("train", "validation", "test")
    ]
    assert sum(row["sequences"] for row in rows if row["level"] == "conversation") == 120
    table = succeed("splits", analyzed)
    assert re.search(r"conversation +train +\d+ +\d+ +\d+ +0\.\d{4} +\d+ +\d+", table)

    report = json.loads(succeed("audit", analyzed, "--json"))
    assert all(finding["severity"] != "error" for finding in report["findings"])
    assert "checked: " in succeed("audit", analyzed)

    models = {}
    for level in ("conversation", "author"):
        models[level] = tmp_path / f"{level}.safetensors"
        out = succeed("train", level, analyzed, "--model", models[level], *SMALL, *FIT)
        assert f"model: {models[level]}" in out
        assert "ROC AUC" in out
        metrics = json.loads(succeed("test", models[level], analyzed, "--no-progress", "--json"))
        assert all(isinstance(metrics[name], float) for name in METRICS)
        assert metrics["roc_auc"] > 0.8
        shown = succeed("test", models[level], analyzed, "--no-progress")
        assert f"{metrics['roc_auc']:.4f}" in shown
        assert "the test split was read 2 times" in shown

    results = json.loads(succeed("profile", models["author"], analyzed, "--aggregation", "compare", "--json"))
    assert {"mean", "median", "mean_vote", "total_vote"} <= set(results)
    mean = json.loads(succeed("profile", models["author"], analyzed, "--no-progress", "--json"))
    assert {name: mean[name] for name in METRICS} == {name: results["mean"][name] for name in METRICS}
    shown = succeed("profile", models["author"], analyzed, "--aggregation", "compare", "--no-progress")
    assert re.search(r"mean_vote +\d+ +\d+ +0\.\d{4}|mean_vote +\d+ +\d+ +1\.0000", shown)

    predictions = tmp_path / "predictions.parquet"
    out = succeed("predict", models["author"], analyzed, "--output", predictions, "--no-progress")
    num_test = next(r["sequences"] for r in rows if (r["level"], r["split"]) == ("author", "test"))
    assert out == f"{predictions}: {num_test} author predictions\n"

    facts = json.loads(succeed("inspect", analyzed, "--json"))
    assert facts["kind"] == "analyzed corpus"
    assert (facts["conversations"], facts["messages"], facts["input_size"]) == (120, num_messages, 16)
    assert facts["classes"]["conversation"] == [0, 1]
    facts = json.loads(succeed("inspect", models["author"], "--json"))
    assert (facts["kind"], facts["level"], facts["classes"]) == ("model", "author", [0, 1])
    assert facts["config"]["hidden_size"] == 16
    assert "hidden_size 16; " in succeed("inspect", models["author"])
    facts = json.loads(succeed("inspect", predictions, "--json"))
    assert (facts["kind"], facts["level"], facts["splits"]) == ("predictions", "author", {"test": num_test})
    assert re.search(rf"splits +test {num_test}", succeed("inspect", predictions))

    done = run_cli("profile", models["conversation"], analyzed, "--no-progress")
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "level 'conversation', not 'author'" in done.err

    done = run_cli("test", models["author"], corpus, "--no-progress")
    assert done.code == 1
    assert re.fullmatch(r"error: [^\n]+\n", done.err)


def test_bad_rows_stop_the_import_or_are_set_aside(
    succeed: Callable[..., str], run_cli: RunCli, write_source: Callable[..., Path], tmp_path: Path
) -> None:
    source = write_source(tmp_path / "chats.jsonl", num_conversations=10)
    lines = source.read_text().splitlines()
    source.write_text("\n".join([*lines[:3], "", '{"conversation_id": 3,', *lines[3:]]) + "\n")

    done = run_cli("import", source, tmp_path / "strict")
    assert done.code == 1
    assert done.err.startswith(f"error: {source}:5: ")
    assert not (tmp_path / "strict").exists()

    out = succeed("import", source, tmp_path / "lenient", "--on-error", "quarantine")
    assert out.startswith(f"{tmp_path / 'lenient'}: 10 conversations, ")
    assert (
        f"set aside 1 of 11 rows (a row is a conversation): {tmp_path / 'lenient' / 'rejects.jsonl'}" in out
    )
    assert len((tmp_path / "lenient" / "rejects.jsonl").read_text().splitlines()) == 1


def test_columns_and_splits_are_as_asked_for(succeed: Callable[..., str], tmp_path: Path) -> None:
    source = tmp_path / "messages.csv"
    rows = [f"chat-{i // 4},user-{i % 3},hello {i},{i // 4 % 2}" for i in range(80)]
    source.write_text("\n".join(["chat,user,body,bad", *rows]) + "\n")
    names = ("conversation_id=chat", "author=user", "text=body", "label=bad")
    columns = [part for name in names for part in ("--column", name)]
    succeed("import", source, tmp_path / "c", *columns, "--fractions", "0.5,0.25,0.25", "--seed", "7")
    facts = json.loads(succeed("inspect", tmp_path / "c", "--json"))
    assert (facts["conversations"], facts["messages"], facts["authors"]) == (20, 80, 3)
    assert (facts["split_fractions"], facts["split_seed"]) == ([0.5, 0.25, 0.25], 7)
    assert facts["kind"] == "corpus"


def test_an_audit_that_finds_an_error_exits_1(
    run_cli: RunCli, succeed: Callable[..., str], tmp_path: Path
) -> None:
    def record(index: int, group: str, split: str) -> str:
        messages = [{"author": f"a{index}", "text": f"unlike anything else {index}"}]
        labelled = {"label": index % 2, "group": group, "split": split}
        return json.dumps({"conversation_id": f"c{index}", "messages": messages} | labelled)

    splits = ("train", "validation", "test")
    lines = [record(index, "shared" if index < 2 else f"g{index}", splits[index % 3]) for index in range(12)]
    (tmp_path / "chats.jsonl").write_text("\n".join(lines) + "\n")
    succeed("import", tmp_path / "chats.jsonl", tmp_path / "corpus")
    done = run_cli("audit", tmp_path / "corpus")
    assert done.code == 1
    assert "shared" in done.out
    assert "see the findings above" in done.out
