"""Take the pictures of a report that README and docs show: ``python docs/images/take_pictures.py report.html``.

Needs Debian's chromium and playwright. Knows nothing of how the report was made.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parent

#: File -> width, height, colour scheme, and the element at the top (None = the page's top).
PICTURES = {
    "report.png": (1200, 1840, "light", None),
    "report-dark.png": (1200, 1000, "dark", ".threshold"),
    "report-phone.png": (400, 1200, "light", None),
}


def main(report: Path) -> None:
    """Write every picture beside this script."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        for name, (width, height, scheme, top) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(report.resolve().as_uri())
            if top is not None:
                page.locator(top).first.evaluate(
                    "element => scrollTo({top: element.offsetTop - 96, behavior: 'instant'})"
                )
            page.screenshot(path=FOLDER / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
