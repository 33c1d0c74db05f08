"""``tenor report``: from a predictions file to a page and a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.predictions import Predictions, write_predictions

RunCli = Callable[..., Any]


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    labels = (generator.random(160) < 0.4).astype(np.int64)
    logits = generator.normal(-0.5, 1.0, 160) + 1.5 * labels
    names = np.array([f"c{index}" for index in range(160)], dtype=object)
    table = Predictions(
        level="conversation",
        classes=(0, 1),
        conversation_ids=names,
        authors=None,
        groups=names,
        splits=np.array(["validation", "test"], dtype=object)[np.arange(160) % 2],
        labels=labels,
        lengths=generator.integers(1, 30, 160),
        logits=logits,
        probs=1 / (1 + np.exp(-logits)),
        threshold=0.5,
        model="m.pt",
        model_hash="",
    )
    return write_predictions(table, tmp_path / "scores.parquet")


def test_a_page_and_a_card(run_cli: RunCli, predictions: Path, tmp_path: Path) -> None:
    columns = tmp_path / "columns.csv"
    columns.write_text("conversation_id,channel\n" + "".join(f"c{n},ch{n // 2 % 2}\n" for n in range(160)))
    page, card = tmp_path / "report.html", tmp_path / "README.md"
    done = run_cli(
        *("report", predictions, "--output", page, "--card", card, "--title", "Rude chats"),
        *("--attributes", columns, "--by", "channel", "--class-name", "1=rude", "--license", "mit"),
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == f"report: {page}\nmodel card: {card}\n"
    text = page.read_text()
    assert "<h1><bdi>Rude chats</bdi></h1>" in text
    assert "of them rude" in text and "ROC AUC by channel" in text and "Worst errors" in text
    assert "c1</bdi>" not in text  # ids have pseudonyms
    assert 'license: "mit"' in card.read_text()
    assert "Rude chats" in card.read_text()


def test_nothing_is_written_over_another(run_cli: RunCli, predictions: Path, tmp_path: Path) -> None:
    before = predictions.read_bytes()
    done = run_cli("report", predictions, "--output", predictions)
    assert done.code == 2 and "output: expected another place than that of the run" in done.err
    done = run_cli("report", predictions, "--output", tmp_path / "x.html", "--card", tmp_path / "x.html")
    assert done.code == 2 and "card: expected another place than that of the output" in done.err
    assert predictions.read_bytes() == before


def test_a_file_of_another_kind_is_kept(
    run_cli: RunCli, predictions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("scored before the places were looked at")

    monkeypatch.setattr("tenor.report.reporting.report_run", refuse)
    model = tmp_path / "keep.safetensors"
    model.write_bytes(b"weights")
    done = run_cli("report", predictions, "--output", model)
    assert done.code == 2 and "report's file: expected a new name, or an HTML page" in done.err
    done = run_cli("report", predictions, "--output", tmp_path / "r.html", "--card", model)
    assert done.code == 2 and "model card's file: expected a new name, or a model card of tenor's" in done.err
    assert model.read_bytes() == b"weights" and not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--class-name", "rude"], 2, "expected LABEL=NAME, not 'rude'"),
        (["--by", "channel"], 2, "subgroups need both"),
        (["--class-name", "nope=x"], 2, "class names: expected some of 0, 1, found nope"),
        (["--errors", "-1"], 2, "Invalid value for '--errors'"),
        ([], 2, "Missing option '--output'"),
    ],
)
def test_wrong_usage(
    run_cli: RunCli, predictions: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    output = ["--output", str(tmp_path / "r.html")] if arguments else []
    done = run_cli("report", predictions, *output, *arguments)
    assert done.code == code
    assert message in done.out + done.err
    assert not (tmp_path / "r.html").exists()
