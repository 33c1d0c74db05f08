"""What an import that replaces a corpus takes over from it: its split plan and its positive class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus, import_with_summary
from tenor.corpus.plan import PlanRequest, SplitPlan, complete_plan
from tenor.corpus.views import view_sequences
from tenor.errors import InputError, UsageError

PLAN: dict[str, Any] = {"split_by": "author", "fractions": (0.6, 0.2, 0.2), "seed": 7}
OWN = SplitPlan(7, (0.6, 0.2, 0.2), "author")


def write_chats(path: Path, count: int = 40, **fields: object) -> Path:
    rows = [
        {
            "conversation_id": f"c{index}",
            "messages": [
                {"author": f"a{index % 17}", "text": "hello"},
                {"author": f"b{index}", "text": "you"},
            ],
            "label": ("ok", "abuse")[index % 2],
            **fields,
        }
        for index in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def splits_by_id(corpus: Path) -> dict[str, str]:
    view = view_sequences(open_corpus(corpus), "conversation")
    return dict(zip(view.conversation_ids.tolist(), view.splits.tolist(), strict=True))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return import_corpus(write_chats(tmp_path / "few.jsonl"), tmp_path / "corpus", positive="abuse", **PLAN)


def test_a_request_is_completed_by_a_plan() -> None:
    assert complete_plan(None, OWN) == complete_plan(PlanRequest(), OWN) == OWN
    assert complete_plan(PlanRequest(seed=0, strict=False), OWN) == SplitPlan(0, (0.6, 0.2, 0.2), "author")
    assert complete_plan(SplitPlan(), OWN) == SplitPlan()
    with pytest.raises(UsageError, match="fractions"):
        complete_plan(PlanRequest(fractions=(0.5, 0.5, 0.5)), OWN)


def test_plan_and_positive_class_of_a_replaced_corpus_stay(corpus: Path, tmp_path: Path) -> None:
    before = splits_by_id(corpus)
    summary = import_with_summary(write_chats(tmp_path / "all.jsonl", 60), corpus, replace=True)
    info = open_corpus(corpus).info
    assert (info.split, info.classes["conversation"]) == (OWN, ("ok", "abuse"))
    after = splits_by_id(corpus)
    assert len(after) == 60 and {each: after[each] for each in before} == before
    assert summary.remarks() == [
        "split as the corpus that was replaced: fractions 0.6,0.2,0.2, seed 7, by author",
        "level conversation: positive is the class 'abuse', as in the corpus that was replaced; "
        "--positive ok chooses the other",
    ]


def test_what_is_asked_for_wins_and_is_said(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "few.jsonl"
    summary = import_with_summary(source, corpus, replace=True, plan=PlanRequest(seed=0), positive="ok")
    info = open_corpus(corpus).info
    assert info.split == SplitPlan(0, (0.6, 0.2, 0.2), "author")
    assert info.classes["conversation"] == ("abuse", "ok")
    assert summary.remarks() == [
        "splits change: the corpus that was replaced was split by fractions 0.6,0.2,0.2, seed 7, by author, this one "
        "is by fractions 0.6,0.2,0.2, seed 0, by author",
        "level conversation: positive is the class 'ok', which was 'abuse' in the corpus that was replaced; "
        "--positive abuse chooses the other",
    ]


def test_nothing_is_said_of_the_defaults_or_of_what_was_asked_for_in_full(tmp_path: Path) -> None:
    source = write_chats(tmp_path / "in.jsonl")
    for options in ({}, PLAN):
        path = import_corpus(source, tmp_path / f"corpus{len(options)}", **options)
        plan = PlanRequest(options.get("seed"), options.get("fractions"), options.get("split_by"))
        summary = import_with_summary(source, path, replace=True, plan=plan)
        assert [each for each in summary.remarks() if "replaced" in each] == []


def test_a_strict_plan_stays_until_it_is_refused(tmp_path: Path) -> None:
    source = write_chats(tmp_path / "in.jsonl")
    path = import_corpus(source, tmp_path / "corpus", strict=True)
    import_corpus(source, path, replace=True)
    assert open_corpus(path).info.split == SplitPlan(strict=True)
    given = write_chats(tmp_path / "given.jsonl", split="train")
    with pytest.raises(InputError, match="found a given split, but a strict plan makes its own"):
        import_corpus(given, path, replace=True)
    import_corpus(given, path, replace=True, strict=False)
    assert open_corpus(path).info.split == SplitPlan()


def test_a_source_that_is_a_corpus_keeps_its_own(corpus: Path, tmp_path: Path) -> None:
    other = import_corpus(tmp_path / "few.jsonl", tmp_path / "other", seed=3)
    summary = import_with_summary(other, corpus, replace=True)
    info = open_corpus(corpus).info
    assert (info.split, info.classes["conversation"]) == (SplitPlan(3), ("abuse", "ok"))
    assert summary.takeover.startswith("splits change: ")
    assert "which was 'abuse' in the corpus that was replaced" in summary.remarks()[1]


@pytest.mark.parametrize("damage", [b"{", b"{}", b'{"format_version": 99}'])
def test_a_damaged_corpus_is_mended_with_the_defaults(corpus: Path, tmp_path: Path, damage: bytes) -> None:
    (corpus / "tenor.json").write_bytes(damage)
    summary = import_with_summary(tmp_path / "few.jsonl", corpus, replace=True)
    info = open_corpus(corpus).info
    assert (info.split, info.classes["conversation"]) == (SplitPlan(), ("abuse", "ok"))
    assert summary.remarks()[0].startswith(
        "split by fractions 0.7,0.1,0.2, seed 0: whether the corpus that was replaced had another plan, or another "
        f"positive class, cannot be read ({corpus / 'tenor.json'}: "
    )
