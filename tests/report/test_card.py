from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from tenor.errors import UsageError
from tenor.report import AuditFinding, LevelSection, Report, Scorer, write_model_card
from tenor.report.card import render_model_card


def _front_matter(card: str) -> dict[str, object]:
    assert card.startswith("---\n")
    loaded = yaml.safe_load(card.split("\n---\n", 1)[0])
    assert isinstance(loaded, dict)
    return loaded


def test_front_matter_holds_the_metrics_of_every_level(full_report: Report, tmp_path: Path) -> None:
    path = write_model_card(full_report, tmp_path / "README.md")
    front = _front_matter(path.read_text())
    assert front["library_name"] == "tenor"
    assert front["license"] == "apache-2.0"
    results = front["model-index"][0]["results"]  # type: ignore[index]
    assert [result["task"]["name"] for result in results] == [
        "Conversations",
        "Authors in conversations",
        "Profiles",
    ]
    metrics = {metric["type"]: metric["value"] for metric in results[0]["metrics"]}
    assert metrics["roc_auc"] == pytest.approx(0.801947)
    assert set(metrics) == {"roc_auc", "average_precision", "f1", "precision", "recall", "accuracy"}


def test_only_an_older_card_is_replaced(full_report: Report, tmp_path: Path) -> None:
    path = write_model_card(full_report, tmp_path / "README.md")
    first = path.read_text()
    assert write_model_card(full_report, path).read_text() == first
    for text in ("# My project\n", "---\nlibrary_name: other\n"):
        path.write_text(text)
        with pytest.raises(
            UsageError, match="model card's file: expected a new name, or a model card of tenor's"
        ):
            write_model_card(full_report, path)
        assert path.read_text() == text


def test_the_data_have_their_own_name(full_report: Report) -> None:
    for dataset, name in (("", "conversations"), ("analyzed: chats", "analyzed: chats")):
        front = _front_matter(render_model_card(dataclasses.replace(full_report, dataset=dataset)))
        (model,) = front["model-index"]  # type: ignore[misc]
        assert model["name"] == full_report.title
        assert [result["dataset"]["name"] for result in model["results"]] == [name] * 3


def test_hugging_face_reads_the_card(full_report: Report) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(render_model_card(full_report), ignore_metadata_errors=False)
    assert card.data.model_name == full_report.title
    assert len(card.data.eval_results) == 18
    assert card.data.eval_results[0].dataset_split == "test"


def test_card_says_uses_numbers_and_limits(full_report: Report) -> None:
    card = render_model_card(full_report)
    assert "**No decision about a person should be made from these scores without human review." in card
    assert "does not clearly beat TF-IDF + logistic regression" in card
    assert "| **tenor** | 0.802 (0.757 to 0.842) |" in card
    assert "## Audit of the splits" in card
    assert card == render_model_card(full_report)
    for private in ("mira", "radios", "chat-of"):
        assert private not in card.lower()


def test_parts_of_test_stand_in_the_card(full_report: Report) -> None:
    """Metrics of subgroups, as Mitchell et al. ask of a card, with their intervals and the largest gap."""
    lines = render_model_card(full_report).splitlines()
    first = lines.index("#### Parts of test by messages")
    assert lines[first + 2 : first + 5] == [
        "| Part | Rows | Positive | ROC AUC | Average precision | F1 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| 2–9 | 120 | 30 | 0.740 (0.680 to 0.790) | 0.440 | 0.410 |",
    ]
    assert lines[first + 8] == "| Largest gap |  |  | 0.090 | 0.090 | 0.090 |"
    language = lines.index("#### Parts of test by language")
    assert lines[language + 4] == "| de | 300 | 60 | 0.780 | – |"
    odd = dataclasses.replace(full_report.sections[0].subgroups[0], column="a|b", value="<b>*x*</b>")
    section = dataclasses.replace(full_report.sections[0], subgroups=(odd,))
    escaped = render_model_card(dataclasses.replace(full_report, sections=(section,)))
    assert "#### Parts of test by a\\|b" in escaped
    assert "| &lt;b&gt;\\*x\\*&lt;/b&gt; |" in escaped and "Largest gap" not in escaped


def test_parts_of_few_rows_are_marked_in_the_card(full_report: Report) -> None:
    few = dataclasses.replace(
        full_report.sections[0].subgroups[0], count=1, value="05", metrics={"roc_auc": 0.1}
    )
    section = dataclasses.replace(
        full_report.sections[0], subgroups=(few, *full_report.sections[0].subgroups[:4])
    )
    lines = render_model_card(dataclasses.replace(full_report, sections=(section,))).splitlines()
    assert "| 05 | 1 (few, in no gap) | 30 | 0.100 (0.680 to 0.790) | – | – |" in lines
    assert "| Largest gap |  |  | 0.090 | 0.090 | 0.090 |" in lines
    assert "| Level | Split | Scored | Labelled | Positive | Groups |" in lines


def test_absent_parts_are_left_out(full_report: Report) -> None:
    bare = LevelSection(Scorer("tenor", full_report.sections[0].model.predictions))
    card = render_model_card(Report("Bare", (bare,)))
    for heading in ("Audit", "Reproduce", "license", "interval"):
        assert heading not in card


def test_hostile_names_stay_text(full_report: Report) -> None:
    hostile = "x\n---\n<script>alert(1)</script> [a](javascript:alert(2)) | `b` *c*"
    bare = LevelSection(Scorer(hostile, full_report.sections[0].model.predictions))
    report = Report(hostile, (bare,), data={hostile: hostile}, command="```\nend", versions={"a": "1"})
    report = dataclasses.replace(report, audit=(AuditFinding(hostile, "passed", hostile),))
    card = render_model_card(report)
    assert _front_matter(card)["model-index"][0]["name"].startswith("x --- <script>")  # type: ignore[index]
    body = card.split("\n---\n", 1)[1]
    assert "<script" not in body
    assert "[a](" not in body
    assert "````\n```\nend\n````" in body
    assert all(line.count(" | ") == 6 for line in body.split("\n") if line.startswith("| **x"))
