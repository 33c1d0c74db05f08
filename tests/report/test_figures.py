from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tenor.report import figures
from tenor.report.canvas import TEST_STROKE, Stroke
from tenor.report.figures import Dot, Line
from tenor.report.svg import ROLES

LABELS = np.array([0, 1] * 30)
SCORES = np.linspace(0, 1, 60)


def _line() -> Line:
    return Line("model", LABELS, SCORES, TEST_STROKE)


def test_svg_is_wellformed_deterministic_and_without_styles_links_or_dates() -> None:
    first, second = (figures.draw_roc("a-roc", [_line()], (0.25, 0.5)) for _ in range(2))
    assert first == second
    assert first is not None
    root = ElementTree.fromstring(first)
    assert root.get("role") == "img"
    assert root.get("viewBox") == "0 0 352 264"
    for forbidden in ("style=", "<style", "<!--", "metadata", "xlink", "DejaVu", "http:"):
        assert forbidden not in first
    assert not re.search(r"#0000[0-9a-f]{2}", first)  # every stand-in colour became a class
    classes = {name for element in root.iter() for name in element.get("class", "").split()}
    assert {"s-model", "f-paper", "s-grid"} <= classes
    assert classes <= {"plot"} | {f"{kind}-{role}" for kind in "fs" for role in ROLES}


def test_ids_are_prefixed_and_every_reference_is_met() -> None:
    svgs = [figures.draw_roc(prefix, [_line()], (0.25, 0.5)) for prefix in ("one", "two")]
    found: list[str] = []
    for prefix, svg in zip(("one", "two"), svgs, strict=True):
        assert svg is not None
        ids = re.findall(r' id="([^"]+)"', svg)
        assert all(identifier.startswith(f"{prefix}-") for identifier in ids)
        assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {(i, "") for i in ids} | {
            ("", i) for i in ids
        }
        found += ids
    assert len(set(found)) == len(found)


def test_mark_says_where_it_stands_and_how_long_a_unit_is() -> None:
    svg = figures.draw_roc("x", [_line()], (0.25, 0.5))
    assert svg is not None
    mark = next(e for e in ElementTree.fromstring(svg).iter() if e.get("data-mark") == "x-point")
    assert (mark.get("data-x"), mark.get("data-y")) == ("0.25", "0.5")
    # the axes are 352 - 46 - 12 wide for 1.02 units, 264 - 10 - 42 high for 1.03, and SVG counts downwards
    assert float(mark.get("data-dx", "")) == pytest.approx(294 / 1.02, abs=1e-2)
    assert float(mark.get("data-dy", "")) == pytest.approx(-212 / 1.03, abs=1e-2)


def test_curves_of_one_class_are_left_out() -> None:
    line = Line("model", np.zeros(4, dtype=np.int64), np.linspace(0, 1, 4), TEST_STROKE)
    assert figures.draw_roc("x", [line]) is None
    assert figures.draw_precision_recall("x", [line]) is None


def test_constant_scores_can_be_drawn() -> None:
    line = Line("majority", LABELS, np.full(60, 0.2), TEST_STROKE)
    assert figures.draw_reliability("x", [line]) is not None
    assert (
        figures.draw_histogram("x", {"no": np.full(3, 2.0), "yes": np.full(2, 2.0)}, "Votes", 2.0) is not None
    )


def test_hostile_and_foreign_names_stay_text() -> None:
    names = ["<script>alert(1)</script>", "$\\frac{1}{0}$", "ラベル 😀", "a\x00b\x1b\ud800", "", "x" * 200]
    svg = figures.draw_dots("x", [Dot(name, 0.5, (0.4, 0.6), 0.45) for name in names], "ROC AUC")
    assert svg is not None
    assert "<script" not in svg
    texts = [element.text for element in ElementTree.fromstring(svg).iter("text")]
    assert "$\\frac{1}{0}$" in texts
    assert "a\ufffdb\ufffd\ufffd" in texts
    assert "<script>alert(1)" in "".join(text for text in texts if text is not None)


def test_dots_without_any_value_are_left_out() -> None:
    assert figures.draw_dots("x", [Dot("a", None)], "F1") is None


def test_history_skips_what_is_absent() -> None:
    epochs = np.array([1.0, 2.0])
    absent = {"validation": (np.full(2, np.nan), Stroke("model", 2.0))}
    assert figures.draw_history("x", epochs, absent, "Loss") is None
    one = {
        "train": (np.array([0.5]), Stroke("model", 2.0)),
        **{k: (v[0][:1], v[1]) for k, v in absent.items()},
    }
    assert figures.draw_history("x", epochs[:1], one, "Loss", best_epoch=1) is not None
