"""A model card: Markdown with the front matter that Hugging Face reads.

After Mitchell et al. (2019), Model Cards for Model Reporting, so with its metrics on parts of the data. Holds no
message, no author and no conversation. Knows nothing of HTML or of figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenor.files import require_replaceable, starts_with, write_bytes
from tenor.report.content import LevelSection, Report, require_report
from tenor.report.summaries import (
    LEVEL_NAMES,
    METRIC_NAMES,
    NOTICE,
    Measured,
    compose_summary,
    count_splits,
    find_doubts,
    format_interval,
    format_number,
    judge_baselines,
    measure,
)
from tenor.report.tables import subgroup_tables
from tenor.report.views import Table


def write_model_card(report: Report, path: Path | str) -> Path:
    """Write the card, such as ``README.md`` beside the model file.

    Args:
        report: the same as for the page; its errors are not used.
        path: of the file.

    Returns:
        The path.

    Raises:
        UsageError: as require_card.
        StorageError: the file cannot be written; an older file of that name is untouched.
    """
    require_report(report)
    path = require_card(path)
    write_bytes(path, render_model_card(report).encode("utf-8", errors="replace"))
    return path


def require_card(path: object) -> Path:
    """A path at which no file but an older card would be lost.

    Raises:
        UsageError, StorageError: as require_replaceable.
    """
    return require_replaceable(
        path, "model card's file", "a model card of tenor's", lambda found: starts_with(found, _FIRST_LINES)
    )


def render_model_card(report: Report) -> str:
    """The card as text; the same report gives the same text."""
    measured = [
        (section, measure(section.model), [measure(s) for s in section.baselines])
        for section in report.sections
    ]
    verdicts = [judge_baselines(model, baselines) for _, model, baselines in measured]
    summary = compose_summary(report, [model for _, model, _ in measured], verdicts)
    parts = [_front_matter(report, [(section, model) for section, model, _ in measured])]
    parts.append(f"# {_escape(report.title)}")
    if report.question:
        parts.append(_escape(report.question))
    parts += [f"**{_escape(doubt)}**" for doubt in find_doubts(report)]
    parts.append(_escape(" ".join(summary)))
    parts.append(f"## Uses\n\n{_USES}\n\n**{NOTICE}**")
    parts.append("## Numbers\n\nOn the test split, on which no threshold was chosen.")
    for (section, model, baselines), verdict in zip(measured, verdicts, strict=True):
        parts.append(f"### {LEVEL_NAMES[section.level][0]}")
        if verdict is not None:
            parts.append(_escape(verdict.sentence))
        parts.append(_metric_table(model, baselines))
        parts += [_escape(note) for note in section.notes]
        for column, table in subgroup_tables(section.subgroups):
            parts += [f"#### Parts of test by {_escape(column)}", _part_table(table)]
    parts.append("## Data")
    if report.data:
        parts.append(_list(report.data))
    parts.append(_split_table(report.sections))
    if report.audit:
        findings = [
            f"- **{f.outcome}**: {_escape(f.check)}. {_escape(f.detail)}".rstrip() for f in report.audit
        ]
        parts.append("\n".join(["## Audit of the splits", "", *findings]))
    parts.append(f"## Limits\n\n{_LIMITS}")
    reproduce = (
        [_list({**{f"seed, {name}": seed for name, seed in report.seeds.items()}, **report.versions})]
        if report.seeds or report.versions
        else []
    )
    reproduce += [_escape(" ".join(report.unrecorded))] if report.unrecorded else []
    reproduce += [_fence(report.command)] if report.command else []
    reproduce += [_list(report.files)] if report.files else []
    if reproduce:
        parts.append("\n\n".join(["## Reproduce", *reproduce]))
    return "\n\n".join(parts) + "\n"


#: By them a card is known that may be replaced.
_FIRST_LINES = "---\nlibrary_name: tenor"

_USES = (
    "To rank conversations, or the people in them, for a person to read, on data like that which the model "
    "was trained on. Not for decisions about people without human review, and not for data of another kind, "
    "another time or another language without measuring there first."
)

_LIMITS = (
    "The numbers hold for rows drawn like the test split. Precision follows the share of positives and falls "
    "where that is smaller. A model repeats the mistakes of its labels. How it does for parts of the data "
    "that were not measured apart is not known."
)


def _front_matter(report: Report, models: Sequence[tuple[LevelSection, Measured]]) -> str:
    """YAML; every value is written as JSON, which YAML contains."""
    lines = [_FIRST_LINES, "pipeline_tag: text-classification"]
    if report.license:
        lines.append(f"license: {json.dumps(report.license)}")
    lines += ["tags:", "- tenor", "- conversation-classification", "metrics:"]
    lines += [f"- {metric}" for metric in METRIC_NAMES]  # the Hub knows each by this name
    lines += ["model-index:", f"- name: {_yaml(report.title)}", "  results:"]
    for section, model in models:
        lines += [
            "  - task:",
            "      type: text-classification",
            f"      name: {json.dumps(LEVEL_NAMES[section.level][0])}",
            "    dataset:",
            f"      name: {_yaml(report.dataset if report.dataset else 'conversations')}",
            "      type: conversations",
            "      split: test",
            "    metrics:",
        ]
        for metric in METRIC_NAMES:
            value = model.test[metric]
            if value is not None:
                lines += [
                    f"    - type: {metric}",
                    f"      name: {json.dumps(METRIC_NAMES[metric])}",
                    f"      value: {value:.6f}",
                ]
    return "\n".join([*lines, "---"])


def _yaml(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return json.dumps(printable, ensure_ascii=False)


def _metric_table(model: Measured, baselines: Sequence[Measured]) -> str:
    rows = [["Scored by", *METRIC_NAMES.values()]]
    for measured in (model, *baselines):
        cells = []
        for metric in METRIC_NAMES:
            interval = measured.interval(metric)
            text = format_number(measured.test[metric])
            cells.append(text if interval is None else f"{text} ({format_interval(interval)})")
        name = _escape(measured.name)
        rows.append([f"**{name}**" if measured is model else name, *cells])
    return _table(rows)


def _part_table(table: Table) -> str:
    """A table of subgroups: a part's value, its rows, and its metrics with their intervals."""
    rows = [["Part", *table.columns]]
    for row in table.rows:
        remarks = [cell.interval if cell.interval else cell.note for cell in row.cells]
        cells = [
            f"{cell.text} ({remark})" if remark else cell.text
            for cell, remark in zip(row.cells, remarks, strict=True)
        ]
        rows.append([_escape(row.name), *cells])
    return _table(rows)


def _split_table(sections: Sequence[LevelSection]) -> str:
    rows = [["Level", "Split", "Scored", "Labelled", "Positive", "Groups"]]
    for section in sections:
        for counts in count_splits(section):
            positives = "–" if counts.positives is None else f"{counts.positives:,}"
            numbers = [f"{counts.rows:,}", f"{counts.labelled:,}", positives, f"{counts.groups:,}"]
            rows.append([LEVEL_NAMES[section.level][0], counts.split, *numbers])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| --- |" + " ---: |" * (len(rows[0]) - 1))
    return "\n".join(lines)


def _list(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {_escape(name)}: {_escape(str(value))}" for name, value in facts.items())


def _escape(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link, one line."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", line)


def _fence(code: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{code}\n{fence}"
