from __future__ import annotations

import dataclasses

import pytest

from tenor.errors import UsageError
from tenor.report import ErrorMessage, LevelSection, Report, Scorer, WorstError
from tenor.report.content import redact


@pytest.fixture
def section(full_report: Report) -> LevelSection:
    messages = (
        ErrorMessage("Ann Lee", "I am Ann lee, not ann leeward. Bob?", 0.5),
        ErrorMessage("Bob", "yes, ANN LEE", -0.1),
    )
    errors = (
        WorstError("dm-Ann Lee-Bob", "Ann Lee", 1, 0, 0.1, messages),
        WorstError("other", "Bob", 0, 1, 0.9, (ErrorMessage("Bob", "hi"),)),
    )
    return dataclasses.replace(full_report.sections[1], errors=errors)


def test_redaction_hides_texts_unless_asked(section: LevelSection) -> None:
    shown = redact(section, with_text=False, with_names=True)
    assert [message.text for error in shown for message in error.messages] == [None, None, None]
    assert shown[0].author == "Ann Lee"
    assert shown[0].conversation_id == "dm-Ann Lee-Bob"


def test_redaction_gives_an_author_one_pseudonym_everywhere_also_inside_texts(section: LevelSection) -> None:
    shown = redact(section, with_text=True, with_names=False)
    assert [error.author for error in shown] == ["author 1", "author 2"]
    assert [error.conversation_id for error in shown] == ["conversation 1", "conversation 2"]
    assert shown[0].messages[0].text == "I am author 1, not ann leeward. author 2?"
    assert shown[0].messages[1].text == "yes, author 1"
    assert shown[0].messages[0].contribution == 0.5
    assert "Ann" not in str(shown).replace("ann leeward", "")
    assert "Bob" not in str(shown)


def test_sections_need_labelled_test_rows(full_report: Report) -> None:
    predictions = full_report.sections[0].model.predictions.in_split("validation")
    with pytest.raises(UsageError, match="conversation section has no labelled predictions of split test"):
        LevelSection(Scorer("m", predictions))


def test_sections_refuse_a_baseline_of_another_level(full_report: Report) -> None:
    first, second = full_report.sections[:2]
    with pytest.raises(UsageError, match=r"length scores level author .* needs level conversation"):
        LevelSection(first.model, (Scorer("length", second.model.predictions),))


def test_a_report_needs_sections_and_one_a_level(full_report: Report) -> None:
    with pytest.raises(UsageError, match="one section or more, found none"):
        Report("t", ())
    with pytest.raises(UsageError, match="one section a level"):
        Report("t", (full_report.sections[0], full_report.sections[0]))
