from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tenor.corpus.corpus import Corpus, open_corpus
from tenor.corpus.info import EncoderInfo, IdDigest, SourceInfo
from tenor.corpus.plan import SplitPlan
from tenor.corpus.schema import Conversation
from tenor.corpus.views import view_sequences
from tenor.errors import CorpusError

Write = Callable[..., Corpus]


@pytest.fixture
def corpus(write_corpus: Write, loops: ModuleType) -> Corpus:
    return write_corpus(loops.make_conversations(number=30), batch_bytes=2000, file_bytes=6000)


def change_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_features_are_read_from_the_memory_map_without_copying(corpus: Corpus) -> None:
    before = pa.total_allocated_bytes()
    chunks = corpus.feature_chunks
    assert len(chunks) > 3
    assert pa.total_allocated_bytes() == before
    assert all(not chunk.flags.writeable and not chunk.flags.owndata for chunk in chunks)
    assert sum(map(len, chunks)) == corpus.num_messages
    columns = corpus.table["features"].chunks
    for chunk, column in zip(chunks, columns, strict=True):
        flat = column.values.values.to_numpy(zero_copy_only=True)
        assert chunk.__array_interface__["data"][0] == flat.__array_interface__["data"][0]


def test_conversation_features_are_views_of_the_right_rows(corpus: Corpus, loops: ModuleType) -> None:
    for row, conversation in enumerate(loops.make_conversations(number=30)):
        found = corpus.conversation_features(row)
        np.testing.assert_array_equal(found, conversation.features)
        assert found.base is not None


def test_sizes(corpus: Corpus, loops: ModuleType) -> None:
    conversations = loops.make_conversations(number=30)
    assert (len(corpus), corpus.num_conversations) == (30, 30)
    assert corpus.num_messages == sum(len(one.authors) for one in conversations)
    assert corpus.message_offsets.tolist() == [
        sum(len(one.authors) for one in conversations[:row]) for row in range(31)
    ]


def test_opening_does_not_import_datasets_or_torch(corpus: Corpus) -> None:
    code = (
        "import sys; from tenor.corpus.corpus import open_corpus;"
        "from tenor.corpus.views import view_sequences;"
        f"c = open_corpus({str(corpus.path)!r}); view_sequences(c, 'author').gather_features([0]);"
        "print(sorted({'datasets', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_that_is_no_corpus_raises(tmp_path: Path) -> None:
    with pytest.raises(
        CorpusError, match="expected a corpus folder, found none: tenor import SOURCE '.*/not here'$"
    ):
        open_corpus(tmp_path / "not here")
    with pytest.raises(CorpusError, match=r"tenor\.json is absent.*tenor import"):
        open_corpus(tmp_path)


def test_a_file_of_tenor_s_own_is_not_to_be_imported(tmp_path: Path) -> None:
    model, scores, source = (tmp_path / name for name in ("m.safetensors", "p.parquet", "s.parquet"))
    model.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    table = pa.table({"conversation_id": ["a"]})
    pq.write_table(table, source)
    pq.write_table(table.replace_schema_metadata({"tenor.predictions": "{}"}), scores)
    for path, found in ((model, "a model file"), (scores, "a predictions file")):
        with pytest.raises(
            CorpusError, match=f"expected a corpus folder, found {found}: name the corpus that goes"
        ):
            open_corpus(path)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1")
    text = tmp_path / "in.jsonl"
    text.write_text('{"a": 1, "b": {"c": 2}}')
    for path in (source, damaged, text):
        with pytest.raises(
            CorpusError, match="expected a corpus folder, found a file: a source is imported first"
        ):
            open_corpus(path)


def test_a_datasets_folder_raises_and_says_to_import_it(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"conversation_id": ["a"]}).save_to_disk(str(tmp_path / "a set"))
    with pytest.raises(
        CorpusError, match=r"without tenor\.json: import it first: tenor import '.*/a set' DEST"
    ):
        open_corpus(tmp_path / "a set")
    both = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"conversation_id": ["a"]})})
    both.save_to_disk(str(tmp_path / "dict"))
    with pytest.raises(CorpusError, match="DatasetDict.*import it first"):
        open_corpus(tmp_path / "dict")


def test_a_newer_version_raises_with_both_versions(corpus: Corpus) -> None:
    change_json(corpus.path / "tenor.json", lambda value: value.update(format_version=9, what_is_this=1))
    with pytest.raises(CorpusError, match="format version 9, this tenor reads up to 1.*newer tenor"):
        open_corpus(corpus.path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda value: value.pop("counts"), "fields missing 'counts': import"),
        (lambda value: value.update(extra=1), "fields unknown 'extra': import"),
        (lambda value: value.update(has_text="yes"), "has_text: unexpected value"),
        (lambda value: value.update(input_size=-4), "input_size: unexpected value"),
        (lambda value: value.update(format_version=0), "format_version: unexpected value"),
        (lambda value: value.update(format_version=True), "format_version: unexpected value"),
        (lambda value: value.update(fingerprint="zz"), "fingerprint: unexpected value"),
        (lambda value: value["counts"].update(messages=-1), "counts: unexpected value"),
        (lambda value: value["classes"].update(author=[0, 1, 2]), "classes: unexpected value"),
        (lambda value: value["classes"].pop("profile"), "classes: unexpected value"),
        (lambda value: value["split"].update(fractions=[1, 1, 1]), "fractions: expected three numbers"),
        (lambda value: value["split"].update(fractions=["a", 0, 0]), "fractions: expected three numbers"),
        (lambda value: value["split"].update(by="weekday"), "expected author, conversation or group"),
        (lambda value: value["split"].update(seed=1.5), r"split\.seed: unexpected value"),
        (lambda value: value["files"].append(3), r"files\[\d+\]: expected an object"),
        (lambda value: value["files"][0].pop("sha256"), r"files\[0\]: fields missing 'sha256'"),
        (lambda value: value.update(encoder={"name": "lsa"}), "encoder: fields missing"),
        (lambda value: value["files"].pop(), r"state\.json and tenor\.json list different files"),
        (lambda value: value["files"][0].update(num_conversations=3), "expected 3 conversations, found"),
        (lambda value: value.update(input_size=5), "unexpected columns or types: features"),
        (lambda value: value.update(has_text=False), "unexpected columns or types: text"),
    ],
)
def test_a_wrong_info_raises(corpus: Corpus, change: Callable, words: str) -> None:
    change_json(corpus.path / "tenor.json", change)
    with pytest.raises(CorpusError, match=words):
        open_corpus(corpus.path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 5000])
@pytest.mark.parametrize("name", ["tenor.json", "state.json"])
def test_damaged_json_raises(corpus: Corpus, content: bytes, name: str) -> None:
    (corpus.path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=re.escape(name)):
        open_corpus(corpus.path)


@pytest.mark.parametrize(
    "name",
    ["../outside.arrow", "/etc/passwd", "..", "", ".", "a/b.arrow", "a\\b.arrow", "a\0b", 3, None, ["x"]],
)
def test_a_file_name_that_leads_elsewhere_raises(corpus: Corpus, name: object) -> None:
    shutil.copy(corpus.path / "data-00000.arrow", corpus.path.parent / "outside.arrow")
    change_json(corpus.path / "state.json", lambda value: value["_data_files"][0].update(filename=name))
    with pytest.raises(CorpusError, match="expected a plain name without folders"):
        open_corpus(corpus.path)


def test_a_symlink_raises(corpus: Corpus) -> None:
    data = corpus.path / "data-00000.arrow"
    data.rename(corpus.path.parent / "outside.arrow")
    data.symlink_to(corpus.path.parent / "outside.arrow")
    with pytest.raises(CorpusError, match=r"data-00000\.arrow: expected a regular file, found a symlink"):
        open_corpus(corpus.path)


@pytest.mark.parametrize("name", ["tenor.json", "state.json"])
def test_a_symlinked_json_raises(corpus: Corpus, name: str) -> None:
    (corpus.path / name).rename(corpus.path.parent / name)
    (corpus.path / name).symlink_to(corpus.path.parent / name)
    with pytest.raises(CorpusError, match=f"{name}: expected a regular file"):
        open_corpus(corpus.path)


def test_an_absent_file_raises(corpus: Corpus) -> None:
    (corpus.path / "data-00001.arrow").unlink()
    with pytest.raises(CorpusError, match=r"data-00001\.arrow: absent.*import the source again"):
        open_corpus(corpus.path)


def test_a_truncated_file_raises(corpus: Corpus) -> None:
    path = corpus.path / "data-00001.arrow"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    with pytest.raises(CorpusError, match=rf"expected {size} bytes, found {size // 2}: truncated"):
        open_corpus(corpus.path)


def test_a_flipped_bit_anywhere_raises(corpus: Corpus) -> None:
    path = corpus.path / "data-00000.arrow"
    content = path.read_bytes()
    for place in range(3, len(content), 997):
        path.write_bytes(content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :])
        with pytest.raises(CorpusError, match=r"data-00000\.arrow: its bytes have changed"):
            open_corpus(corpus.path)


def test_a_flipped_bit_unverified_raises_or_stays_inside_the_columns(corpus: Corpus) -> None:
    """Without comparing hashes, damage to the structure is an error and never a read out of bounds."""
    path = corpus.path / "data-00000.arrow"
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 29):
        path.write_bytes(content[:place] + bytes([content[place] ^ 128]) + content[place + 1 :])
        try:
            opened = open_corpus(corpus.path, verify=False)
            view = view_sequences(opened, "author")
            view.gather_features(np.arange(len(view)))
            list(view.texts())
            list(opened.conversations())
        except CorpusError:
            refused += 1
    assert refused > 20


def test_a_renamed_file_of_another_corpus_raises(corpus: Corpus, write_corpus: Write) -> None:
    other = write_corpus([Conversation("c", ["a"], ["x"])])
    shutil.copy(other.path / "data-00000.arrow", corpus.path / "data-00000.arrow")
    with pytest.raises(CorpusError, match="expected .* bytes, found"):
        open_corpus(corpus.path, verify=False)


def test_missing_text_and_features_raise_with_the_remedy(write_corpus: Write) -> None:
    bare = write_corpus([Conversation("c", ["a"])])
    with pytest.raises(CorpusError, match="found none .import it with text or features"):
        _ = bare.feature_chunks
    with pytest.raises(CorpusError, match="expected messages with text, found none"):
        _ = bare.text_chunks
    raw = write_corpus([Conversation("c", ["a"], ["x"])])
    with pytest.raises(CorpusError, match="encode it first: tenor encode"):
        _ = raw.feature_chunks
    with pytest.raises(CorpusError, match="no column features"):
        raw.column("features")


def hash_ids(pairs: Iterable[tuple[str, str]]) -> str:
    digest = IdDigest()
    for pair in pairs:
        digest.add(*pair)
    return digest.hexdigest()


def test_id_hashes_do_not_depend_on_the_order_and_tell_pairs_apart() -> None:
    pairs = [("c", "a"), ("c", "b"), ("d", "a")]
    assert hash_ids(pairs) == hash_ids(reversed(pairs))
    assert hash_ids(pairs) != hash_ids(pairs[:2])
    assert hash_ids([("ab", "c")]) != hash_ids([("a", "bc")])
    assert IdDigest().hexdigest() == "0" * 64


def test_the_golden_corpus_of_version_1_stays_loadable(loops: ModuleType) -> None:
    corpus = open_corpus(Path(__file__).parents[1] / "golden" / "corpus_v1", verify=True)
    conversations = loops.make_conversations(number=6, groups=True)
    for found, expected in zip(corpus.conversations(), conversations, strict=True):
        assert (found.conversation_id, found.authors) == (expected.conversation_id, expected.authors)
        assert (found.texts, found.timestamps) == (expected.texts, expected.timestamps)
        assert (found.label, found.author_labels) == (expected.label, expected.author_labels)
        np.testing.assert_array_equal(found.features, expected.features)
    assert corpus.info.format_version == 1
    assert corpus.info.split == SplitPlan(seed=4)
    assert corpus.info.feature_names == ("a", "b", "c", "d")
    assert corpus.info.encoder == EncoderInfo("lsa", "0" * 64, "1" * 64, "2" * 64)
    assert corpus.info.sources == (SourceInfo("chats.jsonl", 123, "3" * 64),)
