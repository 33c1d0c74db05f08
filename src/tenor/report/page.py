"""The report as one self-contained HTML page.

Fills the template, and forbids the page everything but its own style and script by a content security policy
with their hashes. Texts from data only ever pass through the template's escaping. Knows nothing of how
pictures and tables are made.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tenor.files import require_replaceable, starts_with, write_bytes
from tenor.report.content import Report, require_report
from tenor.report.curves import ThresholdTable
from tenor.report.sections import build_section
from tenor.report.summaries import NOTICE, compose_summary, find_doubts


def write_report(report: Report, path: Path | str) -> Path:
    """Write the page; it needs no network, no other file, and no script to be read.

    Args:
        report: what to show; parts without data are left out.
        path: of the file, such as ``report.html``.

    Returns:
        The path.

    Raises:
        UsageError: as require_page.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    require_report(report)
    path = require_page(path)
    write_bytes(path, render_report(report).encode("utf-8", errors="replace"))
    return path


def require_page(path: object) -> Path:
    """A path at which no file but an older page would be lost.

    Raises:
        UsageError, StorageError: as require_replaceable.
    """
    return require_replaceable(
        path, "report's file", "an HTML page", lambda found: starts_with(found, "<!doctype html")
    )


def render_report(report: Report) -> str:
    """The page as text; the same report gives the same text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("tenor.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    loader = environment.loader
    if loader is None:  # pragma: no cover - set four lines above
        raise RuntimeError("the template environment has no loader")
    style, script = (loader.get_source(environment, name)[0] for name in ("style.css", "script.js"))
    sections = [build_section(report, section) for section in report.sections]
    summary = compose_summary(report, [view.model for view in sections], [view.verdict for view in sections])
    environment.filters["svg"] = Markup
    return environment.get_template("page.html.j2").render(
        report=report,
        sections=sections,
        summary=summary,
        doubts=find_doubts(report),
        notice=NOTICE,
        style=Markup(style),
        script=Markup(script),
        policy=content_security_policy(style, script),
        cuts=_cuts,
    )


def content_security_policy(style: str, script: str) -> str:
    """Allow this style and this script and nothing else: no request, no inline handler, no form."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _cuts(table: ThresholdTable) -> Mapping[str, Any]:
    """The slider's counts as plain numbers for JSON."""
    return {
        "cuts": [float(f"{cut:.9g}") for cut in table.cuts],
        "chosen": table.chosen,
        "splits": {
            split: {
                "positives": positives,
                "negatives": negatives,
                "hits": table.hits[split].tolist(),
                "falseAlarms": table.false_alarms[split].tolist(),
            }
            for split, (positives, negatives) in table.counts.items()
        },
    }
