"""``tenor test``, ``tenor profile`` and ``tenor train --seeds``: numbers beside their intervals and baselines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenor.cli.seeds import print_seeds
from tenor.cli.standing import print_doubts
from tenor.corpus.importing import import_corpus
from tenor.evaluation.sentences import describe_abstention
from tenor.models.model_file import read_metadata
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

RunCli = Callable[..., Any]

FIT = (
    *("--hidden-size", "8", "--num-layers", "1", "--num-heads", "2", "--kernel-sizes", "3", "--epochs", "1"),
    *("--batch-size", "32", "--learning-rate", "0.003", "--device", "cpu", "--prior", "none"),
    "--no-progress",
)
BASELINES = ("majority", "length", "lexical", "pooled", "blend")


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("standing")
    plan = SyntheticPlan(
        conversations=200, messages=5, conversations_per_author=8, guilty_every=3, bad_share=0.6, input_size=8
    )
    source = write_jsonl(generate_conversations(plan), folder / "chats.jsonl")
    return import_corpus(source, folder / "corpus", fractions=(0.4, 0.3, 0.3))


@pytest.fixture
def succeed(run_cli: RunCli) -> Callable[..., str]:
    def run(*arguments: str | Path) -> str:
        done = run_cli(*arguments)
        assert (done.code, done.err) == (0, ""), done
        return str(done.out)

    return run


def unwrap(text: str) -> str:
    """A message without the box and the line breaks that typer puts round it."""
    return " ".join(re.sub(r"[│╭╰─╮╯]", " ", text).split())


def test_seeds_are_trained_tested_and_summarised(
    succeed: Callable[..., str], run_cli: RunCli, analyzed: Path, tmp_path: Path
) -> None:
    out = succeed(
        *("train", "author", analyzed, "--model", tmp_path / "m.pt", "--seed", "3", "--seeds", "2"), *FIT
    )
    paths = [tmp_path / "m-seed3.pt", tmp_path / "m-seed4.pt"]
    assert all(f"model: {path}" in out for path in paths)
    found = [read_metadata(path).training for path in paths]
    assert [training["config"]["seed"] for training in found] == [3, 4]
    scores = [training["validation"]["roc_auc"] for training in found]
    mean, std = sum(scores) / 2, abs(scores[0] - scores[1]) / 2**0.5
    assert re.search(rf"ROC AUC +{mean:.4f} +{std:.4f} ", out.partition("validation over 2 seeds")[2])

    results = json.loads(succeed("test", *paths, analyzed, "--no-progress", "--json"))
    assert list(results["models"]) == list(map(str, paths))
    tested = [metrics["roc_auc"] for metrics in results["models"].values()]
    assert results["seeds"]["roc_auc"]["mean"] == pytest.approx(sum(tested) / 2)
    assert results["seeds"]["roc_auc"]["count"] == 2
    out = succeed("test", *paths, analyzed, "--no-progress")
    assert f"{results['seeds']['roc_auc']['mean']:.4f}" in out.partition("over 2 models")[2]

    done = run_cli("test", paths[0], paths[0], analyzed, "--no-progress")
    assert done.code == 2
    assert done.err == "error: the models' seeds must differ, found 3, 3\n"
    other = tmp_path / "other.pt"
    succeed("train", "author", analyzed, "--model", other, "--patience", "2", *FIT)
    done = run_cli("test", paths[0], other, analyzed, "--no-progress")
    assert done.code == 2
    assert done.err == f"error: {paths[0]} and {other} differ in more than their seed: patience\n"
    assert run_cli("train", "author", analyzed, "--seeds", "0", *FIT).code == 2


def test_results_stand_beside_baselines(
    succeed: Callable[..., str], run_cli: RunCli, analyzed: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.pt"
    succeed("train", "author", analyzed, "--model", model, *FIT)
    rule = ("--threshold", "precision_at_recall:0.9")
    options = ("--abstain-alpha", "0.2", "--no-progress")
    found = json.loads(succeed("test", model, analyzed, *rule, *options, "--json"))
    out = succeed("test", model, analyzed, *rule, *options)
    table, _, rest = out.partition("95% intervals, by resampling")
    for name in BASELINES:
        assert f"{found['baselines'][name]['roc_auc']:.4f}" in table
        assert f"author minus {name} " in rest
    interval = found["intervals"]["roc_auc"]
    assert f"{interval['low']:.3f}–{interval['high']:.3f}" in rest
    assert found["verdict"] in out.replace("\n", " ")
    assert f"The threshold {found['threshold']:.4f} (95% interval" in rest
    assert "chosen on validation by precision_at_recall:0.9" in rest.replace("\n", " ")
    assert re.search(r"Brier 0\.\d{4}, log loss", rest)
    assert "with alpha 0.2: sets hold the true class in" in rest
    shares = ", ".join(f"{label}: {share:.4f}" for label, share in enumerate(found["abstention"]["by_class"]))
    assert f"in {found['abstention']['coverage']:.4f} ({shares}; wanted 0.8 of each), no decision in" in rest
    assert "majority" not in succeed("test", model, analyzed, "--no-baselines", "--no-progress")

    output = ("--output", tmp_path / "decisions.parquet")
    out = succeed("predict", model, analyzed, *output, *options)
    undecided = round(found["abstention"]["abstained"] * found["count"])
    written, fitted = out.splitlines()
    assert (
        written == f"{output[1]}: {found['count']} author predictions, {undecided} of them without a decision"
    )
    assert re.match(
        r"fitted on \d+ labelled validation rows of 18 groups, \d+ of class 0, 36 of class 1$", fitted
    )
    out = succeed("predict", model, analyzed, *output, "--abstain-alpha", "0.001", "--no-progress")
    assert f"{found['count']} of them without" in out.replace("\n", " ")
    assert "abstention: fewer than 999 units of class 0, 1: in every set" in out
    done = run_cli("predict", model, analyzed, *output, *options, "--engine", "ray")
    assert done.code == 2
    assert done.err.startswith("error: --abstain-alpha has no effect with the engine ray")
    out = succeed("profile", model, analyzed, *options)
    assert "with alpha 0.2: sets hold the true class in" in out
    done = run_cli("profile", model, analyzed, *options, *output, "--engine", "ray")
    assert done.code == 2
    assert done.err.startswith("error: --abstain-alpha has no effect with the engine ray")

    for options, said in (
        (
            ("--aggregation", "attention"),
            "serves every aggregation but attention and gated_attention",
        ),
        (("--aggregation", "meen"), "aggregation must be one of mean, median"),
        (("--aggregation", "log_odds", "--threshold", "best"), "best"),
    ):
        done = run_cli("profile", model, analyzed, *options, "--out-of-fold", "3")
        assert done.code == 2 and said in unwrap(done.err)

    results = json.loads(succeed("profile", model, analyzed, "--aggregation", "compare", "--json"))
    best = [name for name, metrics in results.items() if metrics["best_by_validation"]]
    assert len(best) == 1
    out = succeed("profile", model, analyzed, "--aggregation", "compare", "--no-progress")
    assert f"best on validation: {best[0]}" in out
    assert results[best[0]]["verdict"] in out.replace("\n", " ")
    assert set(BASELINES) <= set(results[best[0]]["differences"])
    out = succeed("profile", model, analyzed, "--aggregation", "top_k_mean", "--no-progress")
    assert re.search(r"top_k_mean +\d+ ", out) and "lexical" in out

    scores, profiles = tmp_path / "scores.parquet", tmp_path / "profiles.parquet"
    succeed("predict", model, analyzed, "--split", "all", "--output", scores, "--no-progress")
    out = succeed("profile", model, scores, "--output", profiles, "--aggregation", "mean")
    assert re.fullmatch(rf"{profiles}: \d+ profiles, threshold 0\.\d{{4}}", out.replace("\n", ""))
    done = run_cli("profile", model, analyzed, "--output", profiles)
    assert done.code == 1 and "expected a file of predictions" in unwrap(done.err)
    done = run_cli("profile", model, scores, "--engine", "ray")
    assert done.code == 2 and "the engine ray needs --output" in unwrap(done.err)

    done = run_cli("test", model, analyzed, "--threshold", "best", "--no-progress")
    assert done.code == 2
    assert done.err.startswith("error: the threshold rule must be one of f1, f_beta:BETA")
    done = run_cli("profile", model, analyzed, "--aggregation", "mode", "--no-progress")
    assert done.code == 2 and "not 'mode'" in done.err


def test_the_promise_of_sets_is_measured_of_each_class() -> None:
    found = {
        "alpha": 0.1, "classes": ["civil", "rude"], "coverage": 0.8891, "by_class": (0.886, None), "abstained": 0.25,
        "error": None, "count": 9, "warning": None,
    }  # fmt: skip
    assert describe_abstention(found) == (
        "with alpha 0.1: sets hold the true class in 0.8891 (civil: 0.8860, rude: –; wanted 0.9 of each), no decision "
        "in 0.2500, wrong decisions –"
    )


def test_seeds_that_decided_nothing_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    same = {"mean": 0.8, "std": 0.0, "low": 0.8, "high": 0.8, "count": 3, "undefined": 0}
    sentence = "this spread of 0 says nothing of other data"
    print_seeds({"roc_auc": same, "f1": same}, title="over 3 seeds")
    assert sentence in " ".join(capsys.readouterr().out.split())
    print_seeds({"roc_auc": same, "f1": same | {"std": 0.01}}, title="over 3 seeds")
    assert sentence not in " ".join(capsys.readouterr().out.split())


def test_doubts_of_differences_are_said_unless_the_intervals_said_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = "only 12 groups, fewer than 30"
    rests = "it rests on about 2 groups"
    rows = {
        "tenor": {
            "intervals": {"roc_auc": {"warning": few}},
            "differences": {
                "length": {"roc_auc": {"warning": few}, "average_precision": {"warning": rests}},
                "lexical": {"roc_auc": {"warning": few}, "average_precision": {"warning": None}},
            },
        }
    }
    print_doubts(rows)
    assert capsys.readouterr().out == f"tenor minus length: the intervals of avg. precision: {rests}\n"
