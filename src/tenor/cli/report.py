"""``tenor report``: one self-contained page on a run, and its model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tenor.cli.options import DeviceOption, ProgressOption, refuse_given
from tenor.cli.output import print_line
from tenor.cli.standing import BootstrapSeedOption

SUMMARY = "Write a page on a model or its predictions."

EXAMPLES = """
\b
Examples:
  tenor report models/author.safetensors --data analyzed --output report.html
  tenor report predictions --output report.html --card README.md
  tenor report models/author.safetensors --data analyzed --attributes chats.csv --by language --output report.html
"""


def run(
    context: typer.Context,
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A model file, a predictions file, or a folder of predictions files."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="HTML file to write.")],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Folder of the analyzed corpus: needed for a model file; brings baselines, audit and contributions.",
        ),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Also write a model card (Markdown).")
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV or Parquet with columns of yours, by conversation_id, author or both."
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of FILE that makes subgroups; repeatable."),
    ] = None,
    num_errors: Annotated[
        int, typer.Option("--errors", min=0, help="How many of the worst errors to show, at each level.")
    ] = 5,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Show the texts of the worst errors' messages.")
    ] = False,
    with_names: Annotated[
        bool, typer.Option("--with-names", help="Show names of authors and ids of conversations.")
    ] = False,
    title: Annotated[str | None, typer.Option(help="Of the page.")] = None,
    question: Annotated[str, typer.Option(help="One sentence on what is predicted.")] = "",
    class_name: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL=NAME", help="What a reader calls a class; repeatable."),
    ] = None,
    license: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(metavar="ID", help="Of the model, for the card: apache-2.0, say.")
    ] = "",
    seed: BootstrapSeedOption = 0,
    device: DeviceOption = None,
    progress: ProgressOption = True,
) -> None:
    """Put a run's numbers, baselines, curves, subgroups, worst errors and audit on one page without network."""
    if card is None:
        refuse_given(context, "license", reason="without --card")
    if data is None:
        refuse_given(context, "with_text", "device", reason="without --data")
    from tenor.files import require_apart
    from tenor.report.card import require_card, write_model_card
    from tenor.report.page import require_page, write_report
    from tenor.report.reporting import report_run

    read = {"run": run, "data": data, "attributes": attributes}
    require_apart({"output": output, "card": card}, read, closed=("data",))
    require_page(output)  # before anything is scored
    if card is not None:
        require_card(card)
    report = report_run(
        run,
        data,
        attributes=attributes,
        by=() if by is None else by,
        num_errors=num_errors,
        with_text=with_text,
        with_names=with_names,
        title=title,
        question=question,
        class_names=parse_names(class_name),
        license=license,
        seed=seed,
        device=device,
        progress=progress,
    )
    print_line(f"report: {write_report(report, output)}")
    if card is not None:
        print_line(f"model card: {write_model_card(report, card)}")


def parse_names(texts: list[str] | None) -> dict[int | str, str]:
    """Label -> name from texts such as ``1=toxic``.

    Raises:
        typer.BadParameter: a text without an equals sign; exit code 2.
    """
    names: dict[int | str, str] = {}
    for text in () if texts is None else texts:
        label, equals, name = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected LABEL=NAME, not {text!r}", param_hint="--class-name")
        names[label] = name
    return names
