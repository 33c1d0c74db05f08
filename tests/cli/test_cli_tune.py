"""``tenor tune``: a search from the command line, what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenor.cli.tune import describe_best, list_changes
from tenor.metrics.intervals import Interval
from tenor.training.tuning import Trial, TuneResult

RunCli = Callable[..., Any]

SMALL = (
    *("--epochs", "2", "--device", "cpu", "--no-progress"),
    *("--search", "hidden_size=16", "--search", "num_layers=0,1", "--search", "prior=none"),
    *("--search", "learning_rate=1e-4:1e-2"),
)


def test_the_best_of_three_trials_is_written_and_can_be_tested(
    run_cli: RunCli, small_corpus: Path, tmp_path: Path
) -> None:
    model = tmp_path / "my model.safetensors"
    done = run_cli("tune", "author", small_corpus, "--model", model, "--trials", "3", *SMALL)
    assert done.code == 0, done
    assert "author classifier, 3 trials on validation" in done.out
    shown = re.findall(r"^ +(\d) +\d\.\d{4} +[0-2] +\d+\.\d{4} +hidden_size 16,", done.out, re.MULTILINE)
    assert shown == ["0", "1", "2"]
    assert re.search(r"setting +default +trial \d, the best", done.out)
    assert re.search(r"hidden_size +64 +16", done.out)
    score = re.search(
        r"validation avg. precision: (0\.\d{4}|1\.0000) with the settings of trial \d", done.out
    )
    assert score is not None
    # 4 groups of validation, of which one has most positives: no interval, and why
    assert "the interval: only 4 groups, fewer than 30; rests on about 2 groups of 4" in done.out
    assert "the best of 3 trials is chosen by this very score, which is therefore too good" in done.out
    assert done.out.endswith(f"model: {model}\nnext: tenor test '{model}' {small_corpus}\n")

    again = run_cli(
        "tune", "author", small_corpus, "--model", model, "--trials", "3", *SMALL, "--resume", "--json"
    )
    found = json.loads(again.out)
    assert len(found["trials"]) == 3
    best = max(found["trials"], key=lambda trial: trial["score"])
    assert best["score"] == found["best"]["score"]
    assert f"{best['score']:.4f}" == score[1]
    assert found["path"] == str(model)
    assert run_cli("test", model, small_corpus, "--no-progress", "--json", "--device", "cpu").code == 0


def test_a_second_search_into_the_same_model_is_refused(
    run_cli: RunCli, small_corpus: Path, tmp_path: Path
) -> None:
    arguments = ("tune", "author", small_corpus, "--model", tmp_path / "m.pt", "--trials", "1", *SMALL)
    first = run_cli(*arguments)
    assert first.code == 0 and "the best of" not in first.out  # one trial is no choice
    done = run_cli(*arguments)
    assert done.code == 1
    assert re.fullmatch(
        r"error: \S+m\.tune holds an earlier tuning: go on with it \(resume, --resume\)[^\n]+\n", done.err
    )


def test_bad_ranges_are_one_line(run_cli: RunCli, small_corpus: Path, tmp_path: Path) -> None:
    for word, message in (
        ("dropout=0.5:0.1", "dropout: expected a low end below the high one, found 0.5 and 0.1"),
        (
            "dropout=x:1",
            "dropout: expected numbers as LOW:HIGH or A,B,C, found 'x' (such as dropout=0.1:0.6)",
        ),
        ("heads=1:2", "expected a setting to search, one of hidden_size"),
    ):
        done = run_cli("tune", "author", small_corpus, "--model", tmp_path / "m.pt", "--search", word)
        assert (done.code, done.out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", done.err) and message in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_failed_trial_and_one_with_the_defaults_are_told_apart() -> None:
    interval = Interval(0.75, 0.5, 0.875, 12, "only 12 groups, fewer than 30")
    defaults: dict[str, Any] = {"dropout": 0.3, "patience": 5}
    trials = (
        Trial(0, defaults, 0.5, 1, 2.0),
        Trial(1, {"dropout": 0.12345, "patience": 5}, 0.75, 3, 2.0),
        Trial(2, {"dropout": 0.3, "patience": 9}, None, None, 1.0, "the loss is nan"),
    )
    result = TuneResult(Path("m.pt"), trials[1], "average_precision", interval, trials, defaults)
    assert [list_changes(trial, defaults) for trial in trials] == [
        "the defaults",
        "dropout 0.123",
        "failed: patience 9",
    ]
    assert describe_best(result)[:3] == [
        "validation avg. precision: 0.7500 (95% interval 0.5000 to 0.8750) with the settings of trial 1",
        "validation avg. precision with the defaults: 0.5000",
        "the interval: only 12 groups, fewer than 30",
    ]
    assert not any("same score" in sentence for sentence in describe_best(result))


def test_a_model_that_is_its_start_alone_is_said_to_be(
    run_cli: RunCli, small_corpus: Path, tmp_path: Path
) -> None:
    """Steps this small convince nobody."""
    search = (*SMALL[:7], *("--search", "num_layers=0", "--search", "learning_rate=1e-12,2e-12"))
    for prior, is_said in (("lexical", True), ("none", False)):
        model = tmp_path / f"{prior}.safetensors"
        done = run_cli(
            *("tune", "author", small_corpus, "--model", model, "--trials", "2"),
            *(*search, "--search", f"prior={prior}"),
        )
        assert done.code == 0, done
        assert ("the model is its start alone: no epoch of the network convinced" in done.out) is is_said


def test_settings_that_nothing_speaks_for_are_said() -> None:
    interval = Interval(0.75, 0.5, 0.875, 40, None)
    defaults: dict[str, Any] = {"hidden_size": 256}
    trials = tuple(Trial(number, {"hidden_size": 2**number}, 0.75, 0, 2.0) for number in range(3))
    sentences = describe_best(TuneResult(Path("m.pt"), trials[1], "f1", interval, trials, defaults))
    assert "the same score have trials 0, 2: nothing speaks for the settings of trial 1" in sentences
