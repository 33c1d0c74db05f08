"""``tenor explain``: which messages a score rests on, or which conversations a profile's does."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tenor.cli.options import (
    DataArgument,
    DeviceOption,
    JsonOption,
    ModelArgument,
    ProgressOption,
    refuse_given,
)
from tenor.cli.output import PLAIN_WIDTH, clean_line, print_json, print_line, print_table

if TYPE_CHECKING:
    from tenor.explain.records import ProfileExplanation, SequenceExplanation

SUMMARY = "Say which messages or conversations a score rests on."

EXAMPLES = """
\b
Examples:
  tenor explain models/conversation.safetensors analyzed --id chat-17
  tenor explain models/author.safetensors analyzed --id chat-17 --author ann --with-text
  tenor explain models/author.safetensors analyzed --author ann --aggregation median --json
"""

#: Cells of a bar to each side of its middle.
BAR_CELLS = 6

#: N-grams shown under the messages.
SHOWN_NGRAMS = 10
#: A word without an end, such as encoded data, is shown by so many characters.
_NGRAM_CHARACTERS = 60

BASES = {
    "leave_one_out": "no messages at all",
    "integrated_gradients": "average messages that say nothing",
}
REMAINDERS = {
    "leave_one_out": "what messages do only together",
    "integrated_gradients": "error of the integral",
}


def run(
    context: typer.Context,
    model: ModelArgument,
    data: DataArgument,
    conversation: Annotated[
        str | None, typer.Option("--id", metavar="CONVERSATION", help="Explain this conversation's messages.")
    ] = None,
    author: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this author's; without --id the author's whole profile."),
    ] = None,
    method: Annotated[
        Literal["leave_one_out", "integrated_gradients"] | None,
        typer.Option(help="For messages; leave_one_out by default."),
    ] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For a profile: trained (in the model's file; the default), mean (without it), median, mean_vote or "
            "total_vote.",
        ),
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="For a profile, where the author is in several."),
    ] = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Show the messages' texts.")] = False,
    with_names: Annotated[bool, typer.Option("--with-names", help="Show authors' names.")] = False,
    device: DeviceOption = None,
    progress: ProgressOption = True,
    json: JsonOption = False,
) -> None:
    """Show what each message adds to the score, or, without --id, what each conversation adds to a profile."""
    if conversation is None and author is None:
        raise typer.BadParameter(
            "name a conversation (--id), an author (--author), or both", param_hint="--id"
        )
    if conversation is None:
        of_messages = ("method", "with_text", "with_names")
        refuse_given(context, *of_messages, reason="on a profile, only on a conversation's messages (--id)")
        from tenor.explain.profiles import explain_profile

        profile = explain_profile(
            model,
            data,
            str(author),
            aggregation=aggregation,
            split=split,
            device=device,
            progress=progress,
        )
        if json:
            print_json(dataclasses.asdict(profile))
            return
        show_profile(profile)
        return
    refuse_given(context, "aggregation", "split", reason="with --id, only on a profile")
    from tenor.explain.sequences import explain_sequence

    sequence = explain_sequence(
        model,
        data,
        conversation,
        author,
        method="leave_one_out" if method is None else method,
        with_text=with_text,
        device=device,
        progress=progress,
    )
    names = name_authors(sequence, with_names)
    if json:
        print_json(describe_sequence(sequence, names))
        return
    show_sequence(sequence, names)


def name_authors(explanation: SequenceExplanation, with_names: bool) -> dict[str, str]:
    """What each author is called: by name, or ``author 1``, ``author 2``, ... in order of appearance."""
    authors = dict.fromkeys(message.author for message in explanation.messages)
    return {name: name if with_names else f"author {number}" for number, name in enumerate(authors, start=1)}


def describe_sequence(explanation: SequenceExplanation, names: dict[str, str]) -> dict[str, Any]:
    """An explanation as JSON values; what was not asked for has no key."""
    described = dataclasses.asdict(explanation)
    for message in described["messages"]:
        message["author"] = names[message["author"]]
        for key in ("text", "lexical"):
            if message[key] is None:
                del message[key]
    if described["ngrams"] is None:
        del described["ngrams"]
    return described


def show_sequence(explanation: SequenceExplanation, names: dict[str, str]) -> None:
    """Print the messages with their contributions, and what the numbers mean."""
    messages = explanation.messages
    texts = None if any(message.text is None for message in messages) else [str(m.text) for m in messages]
    has_parts = texts is None and any(message.lexical is not None for message in messages)  # else no room
    columns = ["message", "author", *(["network", "lexical"] if has_parts else [])]
    rows = [
        (
            str(message.position),
            names[message.author],
            *((f"{message.network:+.4f}", f"{message.lexical:+.4f}") if has_parts else ()),
        )
        for message in messages
    ]
    of_author = "" if explanation.author is None else f", author {explanation.author}"
    title = f"conversation {explanation.conversation_id}{of_author}{_in_split(explanation.split)}"
    _print_contributions(columns, rows, [message.contribution for message in messages], texts, title)
    target = explanation.target
    print_line(
        f"logit of {target}: {explanation.logit:.4f} = {explanation.base:.4f} ({BASES[explanation.method]}) "
        f"{explanation.contributions.sum():+.4f} (contributions) "
        f"{explanation.remainder:+.4f} ({REMAINDERS[explanation.method]})"
    )
    threshold = "" if explanation.threshold is None else f", threshold {explanation.threshold:.4f}"
    label = "" if explanation.label is None else f", labelled {explanation.label}"
    print_line(
        f"probability of {target}: {explanation.prob:.4f}{threshold}, predicted {explanation.predicted}{label}; "
        f"a contribution above 0 speaks for {target}"
    )
    if explanation.ngrams:
        shown = [(_quote(each.ngram), each.contribution) for each in explanation.ngrams[:SHOWN_NGRAMS]]
        print_table(["n-gram", "contribution"], shown, title="n-grams of the lexical prior")


def show_profile(explanation: ProfileExplanation) -> None:
    """Print a profile's conversations with their contributions, and what the numbers mean."""
    rows = [
        (each.conversation_id, f"{each.length:,}", f"{each.prob:.4f}") for each in explanation.conversations
    ]
    contributions = [each.contribution for each in explanation.conversations]
    if explanation.remark is not None:  # a bar would say what nothing says
        contributions = [0.0] * len(rows)
    title = f"author {explanation.author}{_in_split(explanation.split)}"
    _print_contributions(["conversation", "messages", "probability"], rows, contributions, None, title)
    threshold = "" if explanation.threshold is None else f", threshold {explanation.threshold:.4f}"
    label = "" if explanation.label is None else f", labelled {explanation.label}"
    count = f"{len(rows):,} conversation{'' if len(rows) == 1 else 's'}"
    meaning = "a contribution is the score minus the score without the conversation"
    if explanation.remark is not None:
        meaning = f"{explanation.remark[0].lower()}{explanation.remark[1:].removesuffix('.')}"
    print_line(
        f"score of {explanation.target} ({explanation.aggregation} of {count}): "
        f"{explanation.score:.4f}{threshold}{label}; {meaning}"
    )


def _quote(ngram: str) -> str:
    long = len(ngram) > _NGRAM_CHARACTERS
    return f"{ngram[:_NGRAM_CHARACTERS]!r}... ({len(ngram):,} characters)" if long else repr(ngram)


def _in_split(split: str) -> str:
    return f" ({split})" if split else ""


def _print_contributions(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    contributions: Sequence[float],
    texts: Sequence[str] | None,
    title: str,
) -> None:
    """Print rows with their contribution as a number and a bar, coloured on a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=Text(clean_line(title), style="bold"), title_justify="left")
    for column in (*columns, "contribution", ""):
        is_name = column in ("author", "conversation")
        justify: Literal["left", "right"] = "left" if is_name or not column else "right"
        table.add_column(Text(column), justify=justify, overflow="fold", no_wrap=not is_name)
    if texts is not None:
        table.add_column(Text("text"), overflow="fold")
    largest = max((abs(value) for value in contributions), default=0.0)
    for number, (row, value) in enumerate(zip(rows, contributions, strict=True)):
        share = value / largest if largest else 0.0
        style = colour(share)
        cells = [Text(clean_line(cell)) for cell in row]
        cells += [Text(format_contribution(value, largest), style=style), Text(draw_bar(share), style=style)]
        if texts is not None:
            cells.append(Text(clean_line(texts[number]), style=style))
        table.add_row(*cells)
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False).print(table)


def format_contribution(value: float, largest: float) -> str:
    """In four decimals; where all beside it are too small for these, in three digits that tell them apart."""
    return f"{value:+.4f}" if value == 0 or largest >= 0.01 else f"{value:+.2e}"


def colour(share: float) -> str:
    """The style of a share in [-1, 1] of the largest contribution: red speaks for the target, blue against."""
    if abs(share) < 0.1:
        return "dim"
    return ("bold " if abs(share) >= 0.5 else "") + ("red" if share > 0 else "blue")


def draw_bar(share: float) -> str:
    """A bar to the right of its middle for a share in (0, 1], to the left for one in [-1, 0)."""
    cells = "█" * round(abs(share) * BAR_CELLS)
    left, right = (cells, "") if share < 0 else ("", cells)
    return f"{left:>{BAR_CELLS}}│{right:<{BAR_CELLS}}"
