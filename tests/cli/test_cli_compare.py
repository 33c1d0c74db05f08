"""``tenor compare``: paired differences from predictions files alone."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.metrics.comparison import compare_many
from tenor.predictions import Predictions, write_predictions

RunCli = Callable[..., Any]


def simulate(strength: float, seed: int, *, level: str = "conversation") -> Predictions:
    """80 groups of 3 rows, half in validation, half in test."""
    rows = np.random.default_rng(7)
    count = 240
    labels = (rows.random(count) < 0.4).astype(np.int64)
    logits = np.random.default_rng(seed).normal(-0.5, 1.0, count) + strength * labels
    names = np.array([f"c{index}" for index in range(count)], dtype=object)
    return Predictions(
        level=level,  # type: ignore[arg-type]
        classes=(0, 1),
        conversation_ids=names,
        authors=names if level == "author" else None,
        groups=np.array([f"g{index // 3}" for index in range(count)], dtype=object),
        splits=np.array(["validation", "test"], dtype=object)[np.arange(count) // 3 % 2],
        labels=labels,
        lengths=np.ones(count, dtype=np.int64),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
        threshold=0.5,
        model="m",
        model_hash="",
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    tables = {"weak": simulate(0.3, 1), "middle": simulate(1.0, 2), "strong": simulate(3.0, 3)}
    return {name: write_predictions(table, tmp_path / f"{name}.parquet") for name, table in tables.items()}


def test_what_a_file_says_of_its_rows_is_said(
    run_cli: RunCli, files: dict[str, Path], tmp_path: Path
) -> None:
    sentence = "the model was trained under other splits than this corpus has"
    table = dataclasses.replace(simulate(3.0, 3), caution=sentence)
    known = write_predictions(table, tmp_path / "known.parquet")
    done = run_cli("compare", files["weak"], known)
    assert f"{known}: {sentence}\n" in done.out.replace("\n" + sentence, " " + sentence)
    assert f"{files['weak']}: the model" not in done.out
    found = json.loads(run_cli("compare", files["weak"], known, "--json").out)
    assert found["cautions"] == {str(known): sentence}
    assert json.loads(run_cli("inspect", known, "--json").out)["caution"] == sentence


def test_differences_are_those_of_compare_many(run_cli: RunCli, files: dict[str, Path]) -> None:
    done = run_cli("compare", *files.values(), "--metric", "roc_auc", "--metric", "f1", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    tables = {"weak": simulate(0.3, 1), "middle": simulate(1.0, 2), "strong": simulate(3.0, 3)}
    expected = compare_many(
        {name: table.in_split("test") for name, table in tables.items()}, "weak", metrics=("roc_auc", "f1")
    )
    assert (found["reference"], found["split"]) == (str(files["weak"]), "test")
    assert found["differences"] == {
        str(files[name]): {metric: dataclasses.asdict(d) for metric, d in expected[name].items()}
        for name in ("middle", "strong")
    }


def test_the_table_says_who_is_better(run_cli: RunCli, files: dict[str, Path]) -> None:
    done = run_cli("compare", *files.values())
    assert (done.code, done.err) == (0, "")
    out = done.out.replace("\n", " ")
    assert f"{files['strong']} against {files['weak']}: better in roc_auc, average_precision, f1" in out
    assert "split test, 40 groups" in out
    done = run_cli("compare", files["strong"], files["weak"], "--split", "all")
    assert f"{files['weak']} against {files['strong']}: worse in roc_auc" in done.out.replace("\n", " ")
    assert "all rows, 80 groups" in done.out


def test_every_metric_has_a_heading(run_cli: RunCli, files: dict[str, Path]) -> None:
    for metric in ("brier", "log_loss", "selection_rate", "false_positive_rate"):
        done = run_cli("compare", files["weak"], files["strong"], "--metric", metric)
        assert (done.code, done.err) == (0, "")
        assert metric.removesuffix("_rate").replace("_", " ") in done.out.lower()


def test_warnings_name_the_metrics_that_they_are_about(run_cli: RunCli, tmp_path: Path) -> None:
    def write(name: str, threshold: float) -> Path:
        """Of 40 groups two have alarms at a threshold of .5, and all at .05."""
        table = simulate(1.0, 2).in_split("test")
        probs = np.where(np.arange(len(table)) < 6, 0.9, 0.1 + table.probs / 10)
        few = dataclasses.replace(table, probs=probs, logits=np.log(probs / (1 - probs)), threshold=threshold)
        return write_predictions(few, tmp_path / name)

    files = write("a.parquet", 0.05), write("b.parquet", 0.05), write("c.parquet", 0.5)
    options = ("--metric", "accuracy", "--metric", "precision")
    rest = "undefined in 14% of the replicates"
    said = [line for line in run_cli("compare", *files, *options).out.splitlines() if "the intervals" in line]
    assert said == [f"{files[2]}: the intervals of precision: rests on about 2 groups of 40; {rest}"]
    alike = run_cli("compare", files[2], files[2], files[2], *options).out.splitlines()
    assert f"the intervals of precision: rests on about 2 groups of 40; {rest}" in alike


def test_a_file_against_itself_is_exactly_no_difference(run_cli: RunCli, files: dict[str, Path]) -> None:
    found = json.loads(run_cli("compare", files["middle"], files["middle"], "--json").out)
    for difference in found["differences"][f"{files['middle']} (2)"].values():
        assert (difference["difference"], difference["low"], difference["high"]) == (0.0, 0.0, 0.0)
        assert (difference["p"], difference["p_holm"]) == (1.0, 1.0)
    out = run_cli("compare", files["middle"], files["middle"]).out
    assert "no difference that Holm's p below .05 would show" in out.replace("\n", " ")


def test_what_cannot_be_compared_is_refused(run_cli: RunCli, files: dict[str, Path], tmp_path: Path) -> None:
    fewer = simulate(1.0, 2)
    part = write_predictions(fewer.select(np.arange(230)), tmp_path / "part.parquet")
    done = run_cli("compare", files["weak"], part)
    assert done.code == 2
    assert "rows only in" in done.err and done.err.count("\n") == 1
    authors = write_predictions(simulate(1.0, 2, level="author"), tmp_path / "authors.parquet")
    done = run_cli("compare", files["weak"], authors)
    assert done.err == (
        f"error: predictions of one level can be compared, found conversation in {files['weak']}, author in {authors}\n"
    )
    test_only = write_predictions(simulate(1.0, 2).in_split("test"), tmp_path / "test.parquet")
    done = run_cli("compare", files["weak"], test_only, "--split", "validation")
    assert done.err == (
        f"error: {test_only}: expected rows of split validation, found those of test only "
        "(tenor predict --split all scores all)\n"
    )
    done = run_cli("compare", files["weak"], files["strong"], "--metric", "beauty")
    assert done.code == 2 and "unknown metric 'beauty'" in done.err


def test_it_runs_without_torch(files: dict[str, Path]) -> None:
    code = (
        "import sys\nfrom tenor.cli import main\n"
        f"try:\n    main(['compare', {str(files['weak'])!r}, {str(files['strong'])!r}])\n"
        "except SystemExit as end:\n    assert not end.code\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
