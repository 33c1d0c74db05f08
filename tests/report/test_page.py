from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tenor.errors import StorageError, UsageError
from tenor.report import AuditFinding, ErrorMessage, LevelSection, Report, Scorer, WorstError, write_report
from tenor.report.card import render_model_card
from tenor.report.page import render_report
from tenor.report.tables import error_views, format_contribution

VOID = {"meta", "input", "link", "br", "img"}


class Structure(HTMLParser):
    """Checks that tags nest, and gathers tags, attributes and texts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.scripts = 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.scripts += tag == "script"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def page(full_report: Report) -> str:
    return render_report(full_report)


def test_page_nests_and_is_the_same_each_time(full_report: Report, page: str) -> None:
    structure = Structure(page)
    assert page.startswith("<!DOCTYPE html>")
    ids = [value for _, name, value in structure.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert page == render_report(full_report)


def test_policy_allows_exactly_the_style_and_the_script_of_the_page(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    text = policy.group(1).replace("&#39;", "'").replace("&#43;", "+")
    assert "default-src 'none'" in text
    assert "unsafe" not in text
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(content) == 1
        digest = base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in text


def test_page_has_no_inline_style_no_handler_and_no_reference_outside(page: str) -> None:
    for tag, name, value in Structure(page).attributes:
        assert name != "style"
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action", "background", "data")
        if name in ("href", "xlink:href"):
            assert value.startswith("#"), (tag, value)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_page_says_what_was_done_and_what_must_not_be(page: str) -> None:
    text = Structure(page).text
    for expected in (
        "No decision about a person should be made from these scores without human review.",
        "On test the model does not clearly beat TF-IDF + logistic regression: ROC AUC 0.802 against 0.794",
        "Models were trained on one part of the data and scored 1,000 conversations, 1,200 author sequences",
        "tenor demo --out demo --seed 0",
        "3 pairs above a similarity of 0.8 across splits.",
        "no row reaches the threshold",
        "Ten bins of equal count. Test: calibration error 0.075, Brier score 0.132; bars: 95%.",
        "bars: 95%. The calibration error is over 15 bins of equal width.",
        "The bars are Wilson's, which take rows as independent: where rows of one group are alike they are too short.",
        "Test rows that the model got most wrong, by the probability that the model gave to the true class.",
        "Level Split Scored Labelled Positive Groups",
        "An author is positive when most of the author's chats are.",
    ):
        assert expected in text


def test_a_failed_audit_stands_before_the_numbers(full_report: Report, page: str) -> None:
    assert "notice doubts" not in page.partition("<main>")[2]
    failed = (
        AuditFinding("group in several splits, level author", "failed"),
        AuditFinding("near duplicates, level author", "warning"),
    )
    doubtful = dataclasses.replace(full_report, audit=failed)
    sentence = (
        "The audit of the splits failed (group in several splits, level author): what the model learned from"
    )
    for text, first_number in (
        (render_report(doubtful), 'class="summary"'),
        (render_model_card(doubtful), "On test"),
    ):
        assert 0 < text.index(sentence) < text.index(first_number)
        assert "near duplicates" not in text[: text.index(first_number)]


def test_embedded_counts_give_the_numbers_that_are_printed(page: str, full_report: Report) -> None:
    found = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 3
    table = json.loads(found[0])
    predictions = full_report.sections[0].model.predictions.in_split("test")
    alarms, positive = predictions.probs >= 0.41, predictions.labels == 1
    chosen, test = table["chosen"], table["splits"]["test"]
    assert table["cuts"][chosen] == 0.41
    assert test["hits"][chosen] == (alarms & positive).sum()
    assert test["falseAlarms"][chosen] == (alarms & ~positive).sum()
    assert f'data-cell="test-hits">{test["hits"][chosen]}<' in page
    thousand = 1000 * alarms.sum() / len(predictions)
    assert f'data-cell="test-alarms">{thousand:.1f}<' in page


def test_sections_without_data_are_left_out(full_report: Report) -> None:
    bare = LevelSection(Scorer("tenor", full_report.sections[0].model.predictions))
    text = Structure(render_report(Report("Bare", (bare,)))).text
    for heading in (
        "baseline",
        "Aggregations",
        "Training",
        "Subgroups",
        "Worst errors",
        "Reproduce",
        "interval",
    ):
        assert heading not in text
    assert "At the threshold" in text
    alone = dataclasses.replace(bare.model.predictions.in_split("test"), threshold=None)
    text = Structure(render_report(Report("Bare", (LevelSection(Scorer("tenor", alone)),)))).text
    assert "At the threshold" not in text
    assert "Validation:" not in text
    assert "no threshold was chosen" in text


def test_one_class_in_test_gives_reasons_instead_of_curves(full_report: Report) -> None:
    predictions = full_report.sections[0].model.predictions
    predictions = dataclasses.replace(predictions, labels=np.zeros(len(predictions), dtype=np.int64))
    text = Structure(render_report(Report("One", (LevelSection(Scorer("tenor", predictions)),)))).text
    assert "no row is labelled positive" in text


def test_several_classes_get_a_table_each_and_a_confusion_matrix(simulate) -> None:  # noqa: ANN001
    classes = ("joy", "anger", "fear")
    predictions = simulate("conversation", 300, classes=classes, seed=4)
    text = Structure(render_report(Report("Moods", (LevelSection(Scorer("tenor", predictions)),)))).text
    assert "Each class against the rest" in text
    assert "rows are true classes, columns chosen ones" in text
    assert "At the threshold" not in text
    test = predictions.in_split("test")
    right = int(((test.probs.argmax(axis=1) == test.labels) & (test.labels == 0)).sum())
    assert f"joy {right} {100 * right / int((test.labels == 0).sum()):.0f}%" in text


def test_fault_40_hostile_text_is_inert(hostile_report: Report, tmp_path: Path) -> None:
    path = write_report(hostile_report, tmp_path / "hostile.html")
    structure = Structure(path.read_text(encoding="utf-8"))
    assert structure.scripts == 2  # the slider's counts and the page's own
    assert not [tag for tag, _, _ in structure.attributes if tag == "img"]
    assert not [name for _, name, _ in structure.attributes if name.startswith("on")]
    assert not [value for _, name, value in structure.attributes if name == "href" and "javascript" in value]
    assert "{{ 7 * 7 }}" in structure.text
    assert "<img src=x onerror=alert(2)>" in structure.text


def test_texts_and_names_are_shown_only_when_asked(full_report: Report) -> None:
    full = full_report.sections[0]
    section = LevelSection(Scorer("tenor", full.model.predictions.select(np.arange(200))), errors=full.errors)
    report = dataclasses.replace(full_report, sections=(section,))
    hidden = render_report(dataclasses.replace(report, with_text=False))
    assert "radios" not in hidden
    assert "text left out" in hidden
    for shown in (hidden, render_report(report)):
        assert "mira" not in shown.lower()
        assert "chat-of" not in shown
    named = render_report(dataclasses.replace(report, with_names=True))
    assert "chat-of-mira-and-tom" in named


def test_page_of_100_000_predictions_is_small(simulate, tmp_path: Path) -> None:  # noqa: ANN001
    model = simulate("conversation", 100_000, share=0.05)
    baselines = tuple(
        Scorer(f"baseline {n}", simulate("conversation", 100_000, share=0.05, seed=n)) for n in (1, 2)
    )
    path = write_report(
        Report("Large", (LevelSection(Scorer("tenor", model), baselines),)), tmp_path / "r.html"
    )
    assert path.stat().st_size < 1_000_000


def test_unwritable_place_is_an_error_that_names_it(full_report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    report = Report("Bare", (LevelSection(Scorer("tenor", full_report.sections[0].model.predictions)),))
    with pytest.raises(StorageError, match=r"cannot write .*file/report\.html"):
        write_report(report, tmp_path / "file" / "report.html")


def test_only_an_older_page_is_replaced(full_report: Report, tmp_path: Path) -> None:
    report = Report("Bare", (LevelSection(Scorer("tenor", full_report.sections[0].model.predictions)),))
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"\x08\0\0\0\0\0\0\0{}      <!doctype html")
    with pytest.raises(
        UsageError, match=r"report's file: expected a new name, or an HTML page .*model\.safetensors"
    ):
        write_report(report, other)
    assert other.read_bytes().endswith(b"<!doctype html")
    page = tmp_path / "page.html"
    for older in (b"", b"<!doctype HTML><p>old", b"\xef\xbb\xbf<!DOCTYPE html>old"):
        page.write_bytes(older)
        assert write_report(report, page) == page
    first = page.read_bytes()
    write_report(report, page)  # over its own
    assert page.read_bytes() == first and b"Bare" in first


def test_of_a_long_error_paper_shows_the_strongest_messages(full_report: Report) -> None:
    talk = tuple(ErrorMessage("ann", None, (number - 24.7) / 10) for number in range(50))
    section = dataclasses.replace(
        full_report.sections[0], errors=(WorstError("long", None, 0, 1, 0.9, talk),)
    )
    page = render_report(dataclasses.replace(full_report, sections=(section,)))
    assert page.count(' weak">') == 30
    assert "Printed are the 20 of 50 with the largest contributions." in page
    assert ' weak">' not in render_report(full_report)


def test_small_contributions_are_told_apart(full_report: Report) -> None:
    talk = tuple(ErrorMessage("ann", None, value) for value in (3.14e-5, -1.2e-5, 4e-7, 0.0, None))
    section = dataclasses.replace(full_report.sections[0], errors=(WorstError("c", None, 0, 1, 0.9, talk),))
    (view,) = error_views(full_report, section)
    assert [each.contribution for each in view.messages] == ["+3.1e−05", "−1.2e−05", "+4e−07", "+0.00", ""]
    assert format_contribution(-0.004, 0.2) == "−0.00"  # beside one that is larger
