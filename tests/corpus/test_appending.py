from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tenor.corpus import writer
from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.finishing import finish_corpus
from tenor.corpus.importing import import_corpus, import_with_summary
from tenor.corpus.info import CorpusInfo
from tenor.corpus.plan import SplitPlan
from tenor.corpus.readings import count_test_read
from tenor.corpus.schema import Conversation
from tenor.corpus.views import view_sequences
from tenor.errors import CorpusError, InputError, SplitError, UsageError
from tenor.files import publish_folder
from tenor.synthetic import SyntheticPlan, generate_conversations, write_jsonl

PLAN = SyntheticPlan(conversations=60, messages=4, seed=3)


def talk(number: int, label: Any = 0, **fields: Any) -> Conversation:  # noqa: ANN401 - a label or a wrong one
    return Conversation(f"new-{number}", ["a", "b"], texts=["hello", "you"], label=label, **fields)


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The first 40 conversations, the other 20, and all 60."""
    rows = list(generate_conversations(PLAN))
    parts = {"one": rows[:40], "two": rows[40:], "all": rows}
    return tuple(write_jsonl(part, tmp_path / f"{name}.jsonl") for name, part in parts.items())


def content(corpus: Corpus) -> list[dict[str, Any]]:
    return corpus.table.to_pylist()


def test_appending_gives_the_ids_and_splits_of_one_import(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, two, everything = sources
    options: dict[str, Any] = {"fractions": (0.5, 0.2, 0.3), "seed": 5}
    import_corpus(one, tmp_path / "corpus", **options)
    before = open_corpus(tmp_path / "corpus")
    summary = import_with_summary(two, tmp_path / "corpus", append=True)
    grown, fresh = (
        open_corpus(tmp_path / "corpus"),
        open_corpus(import_corpus(everything, tmp_path / "fresh", **options)),
    )
    assert content(grown) == content(fresh)
    assert grown.info.split_hash == fresh.info.split_hash
    assert grown.info.classes == fresh.info.classes
    assert grown.info.counts == fresh.info.counts
    assert [source.name for source in grown.info.sources] == ["one.jsonl", "two.jsonl"]
    assert grown.info.files[: len(before.info.files)] == before.info.files  # taken over, byte for byte
    for level in ("conversation", "author"):
        one_view, other = view_sequences(grown, level), view_sequences(fresh, level)
        assert one_view.splits.tolist() == other.splits.tolist()
    assert summary.lines()[0] == (
        f"{tmp_path / 'corpus'}: 60 conversations, {fresh.num_messages:,} messages "
        f"(20 and {fresh.num_messages - before.num_messages:,} of them new)"
    )


def test_an_id_of_the_corpus_is_refused_or_set_aside(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, _, everything = sources
    corpus = import_corpus(one, tmp_path / "corpus")
    with pytest.raises(InputError) as caught:
        import_corpus(everything, corpus, append=True)
    assert (caught.value.field, caught.value.line) == ("conversation_id", 1)
    assert caught.value.rule == f"used before, at {corpus}:1"
    remedy = (
        "make ids unique; if the conversation went on, import all sources into the corpus anew (--replace)"
    )
    assert caught.value.remedy == remedy
    assert len(open_corpus(corpus)) == 40
    summary = import_with_summary(everything, corpus, append=True, on_error="quarantine")
    assert (summary.conversations, summary.rejected_rows) == (20, 40)
    assert len((corpus / "rejects.jsonl").read_text().splitlines()) == 40
    assert len(open_corpus(corpus)) == 60
    more = write_jsonl([*generate_conversations(PLAN)][:1] + [talk(1)], tmp_path / "more.jsonl")
    import_corpus(more, corpus, append=True, on_error="quarantine")
    assert len((corpus / "rejects.jsonl").read_text().splitlines()) == 41  # the earlier ones stay
    assert open_corpus(corpus).info.counts["rejected"] == 41


def test_an_append_that_is_done_again_is_told_from_an_error(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """As when a nightly job is run again that died after its import."""
    one, two, everything = sources
    corpus = import_corpus(one, tmp_path / "corpus")
    import_corpus(two, corpus, append=True)
    repeated = "this very source was imported into it before, by its SHA-256: nothing in it is new"
    with pytest.raises(InputError) as caught:
        import_corpus(two, corpus, append=True)
    assert (caught.value.rule, caught.value.remedy) == (f"used before, at {corpus}:41", repeated)
    with pytest.raises(InputError) as caught:
        import_corpus(two, corpus, append=True, on_error="quarantine")
    assert caught.value.rule == "all 20 conversations are there already, nothing is new"
    assert caught.value.remedy == f"{repeated}; --rejects FILE lists them all"
    listed = tmp_path / "listed.jsonl"
    with pytest.raises(InputError, match="all 60 conversations are there already, nothing is new") as caught:
        import_corpus(everything, corpus, append=True, on_error="quarantine", rejects=listed)
    assert "if the conversation went on" in caught.value.remedy  # of another file's content nothing is said
    assert len(listed.read_text().splitlines()) == 60
    other = import_corpus(two, tmp_path / "other")
    base = import_corpus(other, tmp_path / "base")
    with pytest.raises(InputError, match="all 20 conversations are there already.*by its SHA-256"):
        import_corpus(other, base, append=True, on_error="quarantine")
    assert len(open_corpus(corpus)) == 60


def test_duplicates_of_a_corpus_as_source_are_set_aside(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, _, everything = sources
    corpus = import_corpus(one, tmp_path / "corpus")
    other = import_corpus(everything, tmp_path / "other")
    summary = import_with_summary(other, corpus, append=True, on_error="quarantine")
    assert (summary.conversations, summary.rejected_rows) == (20, 40)
    assert content(open_corpus(corpus)) == content(open_corpus(other))


def test_a_new_class_joins_and_is_named(tmp_path: Path) -> None:
    corpus = import_corpus(
        write_jsonl([talk(1, "calm"), talk(2, "rude")], tmp_path / "one.jsonl"), tmp_path / "corpus"
    )
    summary = import_with_summary(
        write_jsonl([talk(3, "mild"), talk(4, "calm")], tmp_path / "two.jsonl"), corpus, append=True
    )
    assert summary.new_classes == ("mild",)
    assert "new classes: mild; a model trained before does not know them: train anew" in summary.lines()
    grown = open_corpus(corpus)
    assert grown.info.classes["conversation"] == ("calm", "mild", "rude")
    assert view_sequences(grown, "conversation").labels.tolist() == [0, 2, 1, 0]


def test_the_first_labels_may_come_late_and_kinds_may_not_mix(tmp_path: Path) -> None:
    corpus = import_corpus(write_jsonl([talk(1, None)], tmp_path / "one.jsonl"), tmp_path / "corpus")
    summary = import_with_summary(write_jsonl([talk(2, "rude")], tmp_path / "two.jsonl"), corpus, append=True)
    assert summary.new_classes == ()  # the corpus had none that a model could know
    assert open_corpus(corpus).table["label"].to_pylist() == [None, "rude"]
    with pytest.raises(InputError, match="expected a string as in") as caught:
        import_corpus(write_jsonl([talk(3, 1)], tmp_path / "three.jsonl"), corpus, append=True)
    assert caught.value.field == "label"


def test_what_lies_in_the_folder_stays(sources: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = sources
    corpus = import_corpus(one, tmp_path / "corpus")
    assert count_test_read(corpus, level="author", model_hash="0") == 1
    import_corpus(two, corpus, append=True)
    assert count_test_read(corpus, level="author", model_hash="0") == 2


def test_what_cannot_be_appended_to_raises(sources: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = sources
    with pytest.raises(CorpusError, match="expected a corpus folder"):
        import_corpus(two, tmp_path / "absent", append=True)
    strict = import_corpus(one, tmp_path / "strict", strict=True)
    with pytest.raises(SplitError, match="joint assignment.*import all sources together"):
        import_corpus(two, strict, append=True)
    corpus = import_corpus(one, tmp_path / "corpus", seed=1)
    with pytest.raises(UsageError, match="expected the corpus's own split plan .*seed 1.*found.*seed 2"):
        import_corpus(two, corpus, append=True, seed=2)
    with pytest.raises(UsageError, match="cannot be appended to itself"):
        import_corpus(corpus, corpus, append=True)
    other = import_corpus(two, tmp_path / "other", seed=7)
    with pytest.raises(SplitError, match="--column split="):
        import_corpus(other, corpus, append=True)
    assert import_corpus(other, corpus, append=True, columns={"split": None}) == corpus
    assert len(open_corpus(corpus)) == 60


def test_a_corpus_behind_a_link_is_appended_to_where_it_lies(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, two, _ = sources
    import_corpus(one, tmp_path / "data" / "corpus")
    link = tmp_path / "corpus"
    link.symlink_to("data/corpus")
    assert import_corpus(two, link, append=True) == link
    assert len(open_corpus(tmp_path / "data" / "corpus")) == 60
    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["corpus"]
    assert not list(tmp_path.glob(".corpus*"))


@pytest.mark.parametrize("is_replaced", [False, True])
def test_of_two_writers_at_once_the_later_one_is_refused(
    sources: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_replaced: bool
) -> None:
    """The other one comes in while this one hashes what it has written: its last step before the rename."""
    one, two, everything = sources
    corpus = import_corpus(one, tmp_path / "corpus", fractions=(0.5, 0.2, 0.3))
    third = write_jsonl([talk(1), talk(2)], tmp_path / "third.jsonl")

    def finish_after_the_other(*args: Any, **options: Any) -> CorpusInfo:  # noqa: ANN401 - handed on
        monkeypatch.undo()
        other = everything if is_replaced else third
        import_corpus(other, corpus, append=not is_replaced, replace=is_replaced)
        return finish_corpus(*args, **options)

    monkeypatch.setattr(writer, "finish_corpus", finish_after_the_other)
    with pytest.raises(
        CorpusError, match="corpus: has changed since it was opened: try again, one writer at"
    ):
        import_corpus(two, corpus, append=True)
    assert len(open_corpus(corpus, verify=True)) == (60 if is_replaced else 42)
    assert not list(tmp_path.glob(".corpus*"))
    if not is_replaced:
        import_corpus(two, corpus, append=True)
        assert len(open_corpus(corpus, verify=True)) == 62


def test_a_reading_of_test_while_a_corpus_is_hashed_is_taken_over(
    sources: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = sources
    corpus = import_corpus(one, tmp_path / "corpus")

    def finish_after_a_reading(*args: Any, **options: Any) -> CorpusInfo:  # noqa: ANN401 - handed on
        assert count_test_read(corpus, level="author", model_hash="0") == 1
        return finish_corpus(*args, **options)

    monkeypatch.setattr(writer, "finish_corpus", finish_after_a_reading)
    import_corpus(two, corpus, append=True)
    assert count_test_read(corpus, level="author", model_hash="0") == 2


def test_of_processes_that_append_at_once_none_is_lost(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Each of them is either in the corpus or has said that it is not."""
    corpus = import_corpus(sources[0], tmp_path / "corpus")
    days = []
    for day in range(3):
        many = (Conversation(f"{day}-{number}", ["a"] * 9, texts=["hi"] * 9) for number in range(5000))
        days.append(write_jsonl(many, tmp_path / f"day{day}.jsonl"))
    command = [sys.executable, "-m", "tenor", "import", "--append", "--no-progress"]
    children = [
        subprocess.Popen([*command, str(day), str(corpus)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for day in days
    ]
    complaints = [child.communicate()[1].decode() for child in children]
    ids = open_corpus(corpus, verify=True).table["conversation_id"].to_pylist()
    assert 0 in [child.returncode for child in children]
    for day, (child, complaint) in enumerate(zip(children, complaints, strict=True)):
        found = sum(each.startswith(f"{day}-") for each in ids)
        assert found == (5000 if child.returncode == 0 else 0)
        assert child.returncode == 0 or "has changed since it was opened" in complaint


@pytest.mark.parametrize("brings_labels", [False, True])
def test_damage_to_an_earlier_file_is_found_and_gets_no_new_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brings_labels: bool
) -> None:
    """Of a corpus too large to be compared with its hashes when it is opened; with labels its file is written anew."""
    one = write_jsonl([talk(1, None), talk(2, None)], tmp_path / "one.jsonl")
    two = write_jsonl([talk(3, 1 if brings_labels else None)], tmp_path / "two.jsonl")
    corpus = import_corpus(one, tmp_path / "corpus")
    file = corpus / "data-00000.arrow"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"hello", b"jello"))
    monkeypatch.setattr("tenor.corpus.corpus.VERIFIED_BYTES", 0)
    with pytest.raises(
        CorpusError, match=r"corpus/data-00000.arrow: its bytes have changed \(checksum\): import"
    ):
        import_corpus(two, corpus, append=True)
    assert len(open_corpus(corpus)) == 2
    file.write_bytes(data)
    import_corpus(two, corpus, append=True)
    assert open_corpus(corpus, verify=True).table["text"].to_pylist() == [["hello", "you"]] * 3


def test_damaged_offsets_of_an_earlier_file_are_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow reads where they point to, be it outside of the file."""
    one, two = (write_jsonl([talk(each)], tmp_path / f"{each}.jsonl") for each in range(2))
    corpus = import_corpus(one, tmp_path / "corpus")
    file = corpus / "data-00000.arrow"
    data = file.read_bytes()
    monkeypatch.setattr("tenor.corpus.corpus.VERIFIED_BYTES", 0)
    for place in range(data.index(b"new-0") - 16, len(data), 8):
        file.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        with pytest.raises(CorpusError, match="import the source again"):
            import_corpus(two, corpus, append=True)


def test_killed_while_appending_the_corpus_is_as_before(
    sources: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, two, _ = sources
    corpus = import_corpus(one, tmp_path / "corpus")
    before = content(open_corpus(corpus))
    many = (Conversation(f"many-{number}", ["a"] * 20, texts=["hello"] * 20) for number in range(20_000))
    long = write_jsonl(many, tmp_path / "long.jsonl")
    command = [sys.executable, "-m", "tenor", "import", str(long), str(corpus), "--append", "--no-progress"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".corpus.*.tmp/*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    (litter,) = tmp_path.glob(".corpus.*.tmp")  # it was in the midst of it
    assert content(open_corpus(corpus)) == before
    os.utime(litter, (0, 0))  # long ago
    import_corpus(two, corpus, append=True)
    assert len(open_corpus(corpus)) == 60
    assert not list(tmp_path.glob(".corpus*"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets two names change places in one step")
def test_a_replaced_folder_is_never_absent(tmp_path: Path) -> None:
    folder, absent, done = tmp_path / "folder", [], threading.Event()
    with publish_folder(folder) as first:
        (first / "file").write_text("0")

    def look() -> None:
        while not done.is_set():
            try:
                (folder / "file").stat()
            except FileNotFoundError:
                absent.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(100):
        with publish_folder(folder, replace=True) as another:
            (another / "file").write_text(str(number))
    done.set()
    watcher.join()
    assert (folder / "file").read_text() == "99"
    assert not absent
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_appended_plan_is_kept(sources: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, two, _ = sources
    corpus = import_corpus(one, tmp_path / "corpus", seed=4, split_by="author")
    import_corpus(two, corpus, append=True, seed=4, split_by="author")
    assert open_corpus(corpus).info.split == SplitPlan(seed=4, by="author")


def test_a_conversation_that_went_on_is_set_aside_where_a_row_is_a_message(tmp_path: Path) -> None:
    """It is no fault of the file's order; the other conversations of the day are taken."""
    header = "conversation_id,author,text\n"
    (tmp_path / "one.csv").write_text(header + "a,ann,hello\na,bob,hi\nb,ann,hello\n")
    (tmp_path / "two.csv").write_text(header + "a,bob,still there?\na,ann,yes\nc,cy,hello\n")
    corpus = import_corpus(tmp_path / "one.csv", tmp_path / "corpus")
    with pytest.raises(InputError, match="two.csv:2: conversation_id: used before, at .*:1 .*if the conv"):
        import_corpus(tmp_path / "two.csv", corpus, append=True)
    summary = import_with_summary(tmp_path / "two.csv", corpus, append=True, on_error="quarantine")
    assert (summary.conversations, summary.rejected_rows, summary.rows) == (1, 2, 3)
    assert open_corpus(corpus).column("conversation_id").to_pylist() == ["a", "b", "c"]
    (tmp_path / "torn.csv").write_text(header + "d,bob,x\ne,ann,y\nd,bob,z\n")
    with pytest.raises(InputError, match="rows of a conversation must stand together"):
        import_corpus(tmp_path / "torn.csv", corpus, append=True, on_error="quarantine")


def test_an_optional_field_that_nothing_new_has_is_doubted(tmp_path: Path) -> None:
    """As on the day that an export calls it otherwise."""
    full: dict[str, Any] = {"timestamps": [1.0, 2.0], "author_labels": {"a": 1}, "group": "g"}
    corpus = import_corpus(write_jsonl([talk(1, **full)], tmp_path / "one.jsonl"), tmp_path / "corpus")

    def append(number: int, extra: str = "", **fields: Any) -> list[str]:  # noqa: ANN401 - of a conversation
        source = write_jsonl([talk(number, **fields)], tmp_path / f"{number}.jsonl")
        source.write_text(source.read_text().replace('{"conversation_id"', f'{{{extra}"conversation_id"', 1))
        summary = import_with_summary(source, corpus, append=True)
        return [each for each in summary.remarks() if each.startswith("no new")]

    time = (
        "no new conversation has a time, though the corpus has: is the column called otherwise (--column "
        "timestamp=...)?"
    )
    assert append(2, **full) == []
    assert append(3, label=None) == [time]
    assert append(4, label=None, timestamps=[1.0, None]) == []  # nobody has judged it yet
    assert append(5, '"ts": 1, ', label=None) == [
        time,
        "no new conversation has a label or author label or group, though the corpus has: nothing is wrong if they are "
        "not known yet, but if an ignored field holds them name it (--column label=..., --column author_labels=..., "
        "--column group=...)",
    ]
    assert append(6, '"household": "h", ', **(full | {"group": None})) == [
        "no new conversation has a group, though the corpus has: nothing is wrong if they are not known yet, but if an "
        "ignored field holds them name it (--column group=...)"
    ]
    other = import_corpus(write_jsonl([talk(1, None)], tmp_path / "bare.jsonl"), tmp_path / "bare")
    assert import_with_summary(write_jsonl([talk(9)], tmp_path / "9.jsonl"), other, append=True).lacking == ()
