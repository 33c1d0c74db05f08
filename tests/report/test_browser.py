"""The page in headless Chromium; skipped where none is installed (on Debian: apt-get install chromium)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenor.report import Report, write_report

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium found: the page is not tried in a browser"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def addresses(
    full_report: Report, hostile_report: Report, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("page")
    reports = {"full": full_report, "hostile": hostile_report}
    return {name: write_report(report, folder / f"{name}.html").as_uri() for name, report in reports.items()}


@pytest.fixture
def visit(browser: Any, addresses: dict[str, str]) -> Iterator[Any]:  # noqa: ANN401
    """Opens the page; at the end nothing may have been logged, and nothing asked of the network."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def open_page(width: int = 1200, name: str = "full", **options: Any) -> Any:  # noqa: ANN401
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page, address = context.new_page(), addresses[name]
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}") or dialog.dismiss())
        page.on("request", lambda request: request.url == address or complaints.append(request.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


OVERFLOWING = """() => {
  const wide = [document.documentElement.scrollWidth - innerWidth];
  for (const element of document.querySelectorAll("main *")) {
    if (element.closest(".scroll, pre, svg")) continue;
    wide.push(element.getBoundingClientRect().right - innerWidth);
  }
  for (const svg of document.querySelectorAll("svg.plot")) {
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const inner = text.getBoundingClientRect();
      wide.push(inner.right - box.right - 1, box.left - inner.left - 1, box.top - inner.top - 1);
    }
  }
  return Math.max(...wide);
}"""


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("name", ["full", "hostile"])
def test_nothing_overflows(visit: Any, width: int, name: str) -> None:  # noqa: ANN401
    assert visit(width, name).evaluate(OVERFLOWING) <= 0


def test_fault_40_hostile_text_runs_nothing_and_the_slider_still_works(visit: Any) -> None:  # noqa: ANN401
    page = visit(name="hostile")
    before = page.locator('[data-cell="test-recall"]').text_content()
    page.locator(".threshold input").press("End")
    assert page.locator('[data-cell="test-recall"]').text_content() != before
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.querySelectorAll('a:not([href^=\"#\"])').length") == 0


def test_slider_recounts_everything_and_moves_the_marks(visit: Any) -> None:  # noqa: ANN401
    page = visit()
    panel = page.locator('.threshold[data-level="conversation"]')
    table = json.loads(panel.locator("script").text_content())
    read = lambda name: panel.locator(f'[data-cell="{name}"]').text_content()  # noqa: E731
    before = {name: read(name) for name in ("threshold", "test-hits", "test-precision", "validation-alarms")}

    index = table["chosen"] + 60
    panel.locator("input").fill(str(index))
    test = table["splits"]["test"]
    hits, wrong = test["hits"][index], test["falseAlarms"][index]
    assert read("threshold") == f"{table['cuts'][index]:.3f}"
    assert read("test-hits") == str(hits)
    assert read("test-misses") == str(test["positives"] - hits)
    assert read("test-falseAlarms") == str(wrong)
    assert read("test-precision") == f"{hits / (hits + wrong):.3f}"
    assert read("test-recall") == f"{hits / test['positives']:.3f}"
    assert read("test-f1") == f"{2 * hits / (hits + wrong + test['positives']):.3f}"
    alarms = 1000 * (hits + wrong) / (test["positives"] + test["negatives"])
    assert read("test-alarms") == f"{alarms:.1f}"
    assert page.locator('[data-mark="author-roc-point"]').get_attribute("transform") is None

    mark = page.locator('[data-mark="conversation-roc-point"]')
    moved = mark.get_attribute("transform")
    shift = hits / test["positives"] - float(mark.get_attribute("data-y"))
    assert float(moved.removesuffix(")").split()[-1]) == pytest.approx(
        shift * float(mark.get_attribute("data-dy")), abs=0.01
    )

    panel.locator("button").click()
    assert {name: read(name) for name in before} == before
    assert (
        page.locator('[data-mark="conversation-histogram-line"]').get_attribute("transform")
        == "translate(0.00 0.00)"
    )


def test_slider_reaches_both_ends_by_keyboard(visit: Any) -> None:  # noqa: ANN401
    page = visit()
    panel = page.locator('.threshold[data-level="profile"]')
    for key in ("Home", "End"):
        panel.locator("input").press(key)
        assert panel.locator('[data-cell="test-recall"]').text_content() in ("1.000", "0.000") or key == "End"
        assert "NaN" not in panel.text_content()


def test_dark_and_light_and_print_have_readable_contrast(visit: Any) -> None:  # noqa: ANN401
    colours = """() => ["background-color", "color"].map(name => getComputedStyle(document.body)[name])"""
    dark, light = visit(color_scheme="dark"), visit(color_scheme="light")
    assert dark.evaluate(colours) == ["rgb(18, 20, 23)", "rgb(232, 234, 237)"]
    assert light.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(26, 29, 33)"]
    stroke = "() => getComputedStyle(document.querySelector('svg.plot .s-model')).stroke"
    assert dark.evaluate(stroke) == "rgb(108, 176, 255)"
    assert light.evaluate(stroke) == "rgb(10, 90, 181)"
    dark.emulate_media(media="print", color_scheme="dark")  # paper is white whatever the screen
    assert dark.evaluate(colours) == ["rgb(255, 255, 255)", "rgb(26, 29, 33)"]
    assert not dark.locator(".slider").first.is_visible()


def test_page_can_be_read_without_script(visit: Any) -> None:  # noqa: ANN401
    page = visit(java_script_enabled=False)
    assert not page.locator(".slider").first.is_visible()
    assert page.locator('[data-cell="test-precision"]').first.text_content() == "0.505"
