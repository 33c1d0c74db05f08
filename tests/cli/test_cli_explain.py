"""``tenor explain``: its table, its JSON, what it keeps private, and its errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenor.cli.explain import colour, draw_bar, format_contribution, show_profile
from tenor.corpus.importing import import_corpus
from tenor.explain.records import ConversationContribution, ProfileExplanation
from tenor.lexical import LexicalPrior, fit_lexical
from tenor.models.model_file import ModelMetadata, save_model
from tenor.models.sequence import SequenceClassifier

RunCli = Callable[..., Any]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six conversations of ann and bob, who sometimes write what a terminal would obey."""
    folder = tmp_path_factory.mktemp("explain")
    generator = np.random.default_rng(0)
    lines = []
    for index in range(6):
        messages = [
            {
                "author": ("ann", "bob")[position % 2],
                "text": f"secret {index} {position} \x1b[31m[red]",
                "features": generator.normal(size=4).tolist(),
            }
            for position in range(4)
        ]
        record = {"conversation_id": f"c{index}", "messages": messages, "split": ("train", "test")[index % 2]}
        lines.append(json.dumps(record | {"author_labels": {"ann": 1, "bob": 0}, "label": index % 2}))
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    return import_corpus(folder / "chats.jsonl", folder / "corpus")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A conversation model without a prior, and an author model with one; both of random weights."""
    folder, paths = tmp_path_factory.mktemp("models"), {}
    own = fit_lexical(["secret 0", "secret 0", "red 1", "red 1"], [1, 1, 0, 0])
    lexical = LexicalPrior({"own": own})
    for level, prior in (("conversation", None), ("author", lexical)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = SequenceClassifier(4, 8, 1, 2, kernel_sizes=(3,), has_prior=prior is not None)
        metadata = ModelMetadata(level=level, config=model.config(), threshold=0.25)  # type: ignore[arg-type]
        paths[level] = save_model(folder / level, model, metadata, lexical=prior)
    return paths


def explain(run_cli: RunCli, *arguments: str | Path) -> str:
    done = run_cli("explain", *arguments, "--device", "cpu", "--no-progress")
    assert (done.code, done.err) == (0, ""), done
    return str(done.out)


def test_a_conversation_as_a_table_and_as_json(
    run_cli: RunCli, corpus: Path, models: dict[str, Path]
) -> None:
    table = explain(run_cli, models["conversation"], corpus, "--id", "c1")
    described = json.loads(explain(run_cli, models["conversation"], corpus, "--id", "c1", "--json"))
    assert "conversation c1 (test)" in table
    found = re.findall(r"^ +(\d) +(author \d) +([+-]\d\.\d{4}) +[ █]*│", table, re.MULTILINE)
    assert [row[:2] for row in found] == [
        ("1", "author 1"),
        ("2", "author 2"),
        ("3", "author 1"),
        ("4", "author 2"),
    ]
    contributions = [message["contribution"] for message in described["messages"]]
    assert [row[2] for row in found] == [f"{value:+.4f}" for value in contributions]
    assert described["logit"] == pytest.approx(
        described["base"] + sum(contributions) + described["remainder"]
    )
    assert f"logit of 1: {described['logit']:.4f} = {described['base']:.4f} (no messages at all)" in table
    assert f"probability of 1: {described['prob']:.4f}, threshold 0.2500, predicted " in table
    assert "labelled 1; a contribution above 0 speaks for 1" in table
    assert set(described["messages"][0]) == {"position", "author", "contribution", "network"}
    assert "ngrams" not in described


def test_names_and_texts_are_shown_only_when_asked_for(
    run_cli: RunCli, corpus: Path, models: dict[str, Path]
) -> None:
    arguments = (models["conversation"], corpus, "--id", "c1")
    for silent in (explain(run_cli, *arguments), explain(run_cli, *arguments, "--json")):
        assert not {"ann", "bob", "secret"} & set(re.findall(r"\w+", silent))
    named = explain(run_cli, *arguments, "--with-names")
    assert "ann" in named and "secret" not in named
    spoken = explain(run_cli, *arguments, "--with-text")
    assert "secret 1 2 \\x1b[31m[red]" in spoken  # what a terminal would obey is written out
    assert "\x1b" not in spoken and "ann" not in spoken
    described = json.loads(explain(run_cli, *arguments, "--with-text", "--with-names", "--json"))
    assert described["messages"][3]["text"] == "secret 1 3 \x1b[31m[red]"
    assert described["messages"][3]["author"] == "bob"


def test_an_author_in_a_conversation_with_the_n_grams(
    run_cli: RunCli, corpus: Path, models: dict[str, Path]
) -> None:
    arguments = (models["author"], corpus, "--id", "c0", "--author", "ann")
    table = explain(run_cli, *arguments)
    assert "conversation c0, author ann (train)" in table
    assert re.search(r"message +author +network +lexical +contribution", table)
    assert re.search(r"^ +3 +author 1 +[+-]\d\.\d{4} +[+-]\d\.\d{4} +[+-]\d\.\d{4} ", table, re.MULTILINE)
    assert "n-grams" not in table
    arguments = (*arguments, "--with-text")
    table = explain(run_cli, *arguments)
    assert re.search(r"message +author +contribution +text", table)
    assert "n-grams of the lexical prior" in table and "'secret'" in table
    described = json.loads(explain(run_cli, *arguments, "--json"))
    for message in described["messages"]:
        assert message["contribution"] == pytest.approx(message["network"] + message["lexical"])
    assert "secret" in [each["ngram"] for each in described["ngrams"]]


def test_integrated_gradients(run_cli: RunCli, corpus: Path, models: dict[str, Path]) -> None:
    arguments = (models["conversation"], corpus, "--id", "c2", "--method", "integrated_gradients")
    assert "(average messages that say nothing)" in explain(run_cli, *arguments)
    described = json.loads(explain(run_cli, *arguments, "--json"))
    assert described["method"] == "integrated_gradients"
    assert abs(described["remainder"]) < 0.01 * max(1.0, abs(described["logit"] - described["base"]))


def test_a_profile(run_cli: RunCli, corpus: Path, models: dict[str, Path]) -> None:
    arguments = (models["author"], corpus, "--author", "ann", "--split", "test", "--aggregation", "mean")
    table = explain(run_cli, *arguments)
    described = json.loads(explain(run_cli, *arguments, "--json"))
    assert [each["conversation_id"] for each in described["conversations"]] == ["c1", "c3", "c5"]
    probs = [each["prob"] for each in described["conversations"]]
    assert described["score"] == pytest.approx(np.mean(probs))
    for each in described["conversations"]:
        others = [other["prob"] for other in described["conversations"] if other is not each]
        assert each["contribution"] == pytest.approx(described["score"] - np.mean(others))
        number = re.escape(f"{each['contribution']:+.4f}")
        row = rf"{each['conversation_id']} +2 +{each['prob']:.4f} +{number}"
        assert re.search(row, table)
    assert "author ann (test)" in table
    assert f"score of 1 (mean of 3 conversations): {described['score']:.4f}, labelled 1;" in table


def test_a_profile_of_one_conversation_has_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    alone = ProfileExplanation(
        author="ann",
        split="test",
        label=0,
        target=1,
        aggregation="mean",
        score=0.05,
        threshold=0.2,
        conversations=(ConversationContribution("c1", 2, 0.05, 0.05),),
        remark="The profile is this one conversation.",
    )
    show_profile(alone)
    shown = " ".join(capsys.readouterr().out.split())
    assert "c1 2 0.0500 +0.0000" in shown and "█" not in shown
    assert "(mean of 1 conversation): 0.0500, threshold 0.2000, labelled 0; the profile is this one" in shown


def test_small_contributions_are_told_apart() -> None:
    assert [format_contribution(value, 0.2) for value in (0.2, -0.00004, 0.0)] == [
        "+0.2000",
        "-0.0000",
        "+0.0000",
    ]
    assert [format_contribution(value, 2e-4) for value in (2e-4, -4e-5, 0.0)] == [
        "+2.00e-04",
        "-4.00e-05",
        "+0.0000",
    ]


def test_a_terminal_gets_colours(
    run_cli: RunCli, corpus: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = explain(run_cli, models["conversation"], corpus, "--id", "c1", "--with-text")
    assert "\x1b[1;31m" in shown or "\x1b[1;34m" in shown  # the strongest is bold red or blue


def test_colours_and_bars() -> None:
    shares = (1.0, 0.3, 0.05, 0.0, -0.3, -1.0)
    assert [colour(share) for share in shares] == ["bold red", "red", "dim", "dim", "blue", "bold blue"]
    assert draw_bar(0.5) == "      │███   "
    assert draw_bar(-1.0) == "██████│      "
    assert draw_bar(0.0) == "      │      "


@pytest.mark.parametrize(
    ("level", "arguments", "code", "message"),
    [
        ("conversation", [], 2, "name a conversation (--id), an author (--author), or both"),
        (
            "author",
            ["--author", "ann", "--method", "leave_one_out"],
            2,
            "only on a conversation's messages (--id)",
        ),
        ("conversation", ["--id", "c1", "--aggregation", "mean"], 2, "with --id, only on a profile"),
        ("conversation", ["--id", "c1", "--method", "guess"], 2, "'guess' is not one of"),
        ("conversation", ["--id", "c9"], 2, "has no conversation 'c9'; its 6 conversations have ids such as"),
        ("conversation", ["--author", "ann"], 1, "is a model of level 'conversation', not 'author'"),
        (
            "conversation",
            ["--id", "c1", "--author", "ann"],
            1,
            "is a model of level 'conversation', not 'author'",
        ),
        ("author", ["--id", "c1"], 2, "'c1' has 2 authors: name one (--author NAME)"),
        ("author", ["--author", "eve"], 2, "has no author 'eve'"),
        ("author", ["--author", "ann"], 2, "splits 'test', 'train': name one (--split)"),
    ],
)
def test_errors_say_what_to_do(
    run_cli: RunCli,
    corpus: Path,
    models: dict[str, Path],
    level: str,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    done = run_cli("explain", models[level], corpus, *arguments, "--device", "cpu")
    assert done.code == code
    assert message in re.sub(r"[\s│]+", " ", done.err)
    assert "Traceback" not in done.err and "secret" not in done.err


def test_an_endless_word_is_shown_by_its_beginning() -> None:
    from tenor.cli.explain import _quote

    assert _quote("a b") == "'a b'"
    assert _quote("x" * 1_000_000) == f"'{'x' * 60}'... (1,000,000 characters)"
