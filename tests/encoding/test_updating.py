from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.audit import audit_corpus
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.corpus.readings import count_test_read
from tenor.corpus.schema import Conversation
from tenor.encoding.encode import encode_corpus, encode_with_summary
from tenor.errors import CorpusError, UsageError
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl


def conversations(number: int) -> list[Conversation]:
    return list(generate_conversations(SyntheticPlan(conversations=number, messages=4)))


def grow(rows: list[Conversation], tmp_path: Path, **options: Any) -> tuple[Path, Path]:  # noqa: ANN401 - handed on
    """A corpus of the first 60 rows, encoded; then the others are appended."""
    first = write_jsonl(rows[:60], tmp_path / "one.jsonl")
    corpus = import_corpus(first, tmp_path / "corpus")
    encode_corpus(corpus, tmp_path / "analyzed", input_size=24, progress=False, **options)
    import_corpus(write_jsonl(rows[60:], tmp_path / "two.jsonl"), corpus, append=True)
    return corpus, tmp_path / "analyzed"


@pytest.mark.parametrize("keep_text", [True, False])
def test_only_new_rows_are_encoded_and_all_are_as_from_one_run(tmp_path: Path, keep_text: bool) -> None:
    corpus, analyzed = grow(conversations(90), tmp_path, encoder="lsa+dynamics", keep_text=keep_text)
    old = open_corpus(analyzed)
    assert count_test_read(analyzed, level="author", model_hash="0") == 1
    summary = encode_with_summary(corpus, analyzed, update=True, progress=False)
    encode_corpus(corpus, tmp_path / "fresh", encoder=f"like:{analyzed}", keep_text=keep_text, progress=False)
    grown, fresh = open_corpus(analyzed), open_corpus(tmp_path / "fresh")
    assert summary.reused_messages == old.num_messages
    assert f"({old.num_messages} reused, {grown.num_messages - old.num_messages} encoded)" in summary.line()
    assert grown.info.files[:1] == old.info.files
    assert np.array_equal(np.concatenate(grown.feature_chunks), np.concatenate(fresh.feature_chunks))
    assert grown.table.equals(fresh.table)
    assert (grown.info.encoder, grown.info.split_hash) == (fresh.info.encoder, fresh.info.split_hash)
    assert count_test_read(analyzed, level="author", model_hash="0") == 2  # readings are not forgotten
    report = audit_corpus(grown, near_duplicates=False)
    assert not [finding for finding in report.findings if finding.kind == "fitted_state"]


def test_nothing_new_reuses_everything(tmp_path: Path) -> None:
    corpus, analyzed = grow(conversations(90), tmp_path)
    encode_corpus(corpus, analyzed, update=True, progress=False)
    before = open_corpus(analyzed)
    summary = encode_with_summary(corpus, analyzed, update=True, progress=False)
    assert summary.reused_messages == before.num_messages
    assert open_corpus(analyzed).table.equals(before.table)


def test_damaged_features_are_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, analyzed = grow(conversations(90), tmp_path, dtype="float32")
    file = analyzed / "data-00000.arrow"
    data = file.read_bytes()
    row = np.array(open_corpus(analyzed).feature_chunks[0][5]).tobytes()
    place = data.index(row)
    file.write_bytes(data[:place] + bytes([row[0] ^ 1]) + data[place + 1 :])
    monkeypatch.setattr("tenor.corpus.corpus.VERIFIED_BYTES", 0)
    with pytest.raises(CorpusError, match=r"data-00000.arrow: its bytes have changed \(checksum\)"):
        encode_corpus(corpus, analyzed, update=True, progress=False)
    file.write_bytes(data)
    encode_corpus(corpus, analyzed, update=True, progress=False)
    assert len(open_corpus(analyzed, verify=True)) == 90


def test_changed_rows_are_encoded_anew(tmp_path: Path) -> None:
    rows = conversations(90)
    _, analyzed = grow(rows, tmp_path)
    rows[3] = replace(rows[3], texts=["changed"] * len(rows[3].authors))
    changed = import_corpus(write_jsonl(rows, tmp_path / "changed.jsonl"), tmp_path / "changed")
    summary = encode_with_summary(changed, analyzed, update=True, progress=False)
    assert summary.reused_messages == 0
    encode_corpus(changed, tmp_path / "fresh", encoder=f"like:{analyzed}", progress=False)
    assert open_corpus(analyzed).table.equals(open_corpus(tmp_path / "fresh").table)


def test_an_encoder_is_needed(tmp_path: Path) -> None:
    corpus, analyzed = grow(conversations(70), tmp_path)
    with pytest.raises(CorpusError, match="expected a corpus that tenor encoded"):
        encode_corpus(analyzed, corpus, update=True, progress=False)
    with pytest.raises(UsageError, match=f"tenor encode CORPUS {analyzed} --update"):
        import_corpus(tmp_path / "two.jsonl", analyzed, append=True)
