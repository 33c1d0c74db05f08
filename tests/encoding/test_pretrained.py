"""Static and sentence encoders: the libraries' own vectors, duplicates once, clear errors without a network."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tenor.corpus.corpus import open_corpus
from tenor.corpus.schema import Conversation
from tenor.corpus.views import view_sequences
from tenor.encoding import sentence
from tenor.encoding.encode import encode_corpus
from tenor.encoding.encoder_file import ENCODER_NAME, load_encoder
from tenor.encoding.pretrained import PretrainedEncoder, find_model, hash_model
from tenor.encoding.sentence import cut_by_tokens, load_sentence
from tenor.encoding.static import load_static
from tenor.errors import CorpusError, MissingExtraError, ModelFileError, UsageError

SENTENCES = [
    "hello there, how are you?",
    "",
    "你好",
    "ok",
    "the match was close but we lost in the last minute because nobody defended the left side",
    "ok",
]
VOCABULARY = [
    "[UNK]",
    "[PAD]",
    *"hello there how are you the match was close but we lost ok yes no ? ,".split(),
]


@pytest.fixture(scope="session")
def sentence_encoder(minilm_folder: Path) -> PretrainedEncoder:
    """The real MiniLM."""
    pytest.importorskip("sentence_transformers")
    return load_sentence(str(minilm_folder), device="cpu")


@pytest.fixture(scope="session")
def static_folder(sentence_encoder: PretrainedEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model2vec model whose few words have MiniLM's vectors."""
    model2vec = pytest.importorskip("model2vec")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace

    words = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    folder = tmp_path_factory.mktemp("models") / "tiny-static"
    vectors = sentence_encoder.encode_texts(VOCABULARY)
    model2vec.StaticModel(vectors, tokenizer, {}, normalize=True).save_pretrained(folder)
    return folder


def fake_encoder(calls: list[list[str]], size: int = 3) -> PretrainedEncoder:
    def embed(texts: list[str]) -> np.ndarray:
        calls.append(texts)
        return np.array([[len(text), hash(text) % 97, 1] for text in texts], np.float32)

    return PretrainedEncoder("static", "fake", None, "0" * 64, size, embed)


def test_sentence_vectors_are_the_librarys(sentence_encoder: PretrainedEncoder, minilm_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(minilm_folder), device="cpu").encode(
        SENTENCES, show_progress_bar=False
    )
    found = sentence_encoder.encode_texts(SENTENCES)
    assert found.shape == (6, 384)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(sentence_encoder.encode_texts(SENTENCES[:1]), expected[:1], atol=1e-5)
    assert sentence_encoder.name == "sentence:model"
    assert sentence_encoder.feature_names[383] == "sentence:model.383"


def test_static_vectors_are_the_librarys(static_folder: Path) -> None:
    from model2vec import StaticModel

    expected = StaticModel.from_pretrained(static_folder).encode(SENTENCES)
    encoder = load_static(str(static_folder))
    assert encoder.name == "static:tiny-static"
    np.testing.assert_allclose(encoder.encode_texts(SENTENCES), expected, atol=1e-5)
    assert np.linalg.norm(expected[0]) == pytest.approx(1.0, abs=1e-5)


def test_equal_texts_are_encoded_once() -> None:
    calls: list[list[str]] = []
    encoder = fake_encoder(calls)
    found = encoder.encode_texts(["ccc", "a", "ccc", "bb", "a"])
    assert calls == [["ccc", "a", "bb"]]
    np.testing.assert_array_equal(found[:, 0], [3, 1, 3, 2, 1])
    assert encoder.encode_texts([]).shape == (0, 3)


def test_long_texts_go_in_smaller_batches() -> None:
    lengths = np.array([3, 102, 4, 3, 102, 2, 25_002, 3])
    parts = [part.tolist() for part in cut_by_tokens(lengths, batch_size=3, max_tokens=210)]
    assert parts == [[6], [1, 4], [2, 0, 3], [7, 5]]
    assert [part.tolist() for part in cut_by_tokens(np.zeros(2, np.int64), 1, 1)] == [[0], [1]]


@pytest.mark.parametrize("settings", [{}, {"prompts": {"task": "chat: "}, "default_prompt_name": "task"}])
def test_sentence_batches_equal_the_librarys(
    minilm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    """Also with a prompt and fewer dimensions, and in several rounds of tokenising."""
    monkeypatch.setattr(sentence, "_TOKENISED_TOGETHER", 64)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(minilm_folder), device="cpu", truncate_dim=100, **settings)
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    words = "so I said no way ? ! the and 42 ünïcode 好".split()
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(words, size)) for size in generator.integers(0, 9, 160)]
    texts = [*dict.fromkeys(texts), "long " * 400]
    encoder = load_sentence(str(tmp_path / "model"), device="cpu")
    assert encoder.input_size == 100
    np.testing.assert_allclose(encoder.encode_texts(texts), model.encode(texts), atol=2e-6)


def test_a_model_without_padding_is_left_to_the_library(static_folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding

    model = SentenceTransformer(modules=[StaticEmbedding.from_model2vec(str(static_folder))], device="cpu")
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    encoder = load_sentence(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(encoder.encode_texts(SENTENCES), model.encode(SENTENCES), atol=1e-6)


def test_hash_follows_the_files(static_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "renamed"
    shutil.copytree(static_folder, copy)
    (copy / "notes.md").write_text("not part of the model")
    (copy / "onnx").mkdir()
    (copy / "onnx" / "config.json").write_text("{}")
    assert hash_model("static", copy) == load_static(str(static_folder)).hash
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"normalize": False}))
    assert hash_model("static", copy) != hash_model("static", static_folder)
    assert hash_model("sentence", static_folder) != hash_model("static", static_folder)


def test_corpus_round_trip(
    static_folder: Path, conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    """encode, like: with the model's folder given, and without."""
    rows = conversations(8)
    source = write_corpus(rows)
    dest = encode_corpus(
        source, tmp_path / "dest", encoder=f"static:{static_folder}+dynamics", dtype="float32"
    )
    info = open_corpus(dest).info
    assert info.input_size == 384 + 8
    assert info.encoder.name == "static:tiny-static+dynamics"
    assert info.encoder.fitted_ids_hash is None
    assert str(static_folder.parent).encode() not in (dest / ENCODER_NAME).read_bytes()
    view = view_sequences(open_corpus(dest), "conversation")
    expected = load_static(str(static_folder)).encode_texts(rows[3].texts)
    np.testing.assert_array_equal(view.gather_features([3])[:, :384], expected)

    with pytest.raises(UsageError, match=r"static:tiny-static was read from a local folder.*as a model path"):
        encode_corpus(source, tmp_path / "again", encoder=f"like:{dest}")
    again = encode_corpus(
        source,
        tmp_path / "again",
        encoder=f"like:{dest}",
        model_paths=[tmp_path, static_folder],
        dtype="float32",
    )
    assert open_corpus(again).info.fingerprint == open_corpus(dest).info.fingerprint


def test_lsa_takes_what_a_static_encoder_leaves(
    static_folder: Path, conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    encoder = f"lsa+static:{static_folder}"
    source = write_corpus(conversations(20))
    with pytest.raises(
        UsageError, match=r"expected more than 384, .* found 256: .* give 640 to leave it 256"
    ):
        encode_corpus(source, tmp_path / "dest", encoder=encoder)
    dest = encode_corpus(source, tmp_path / "dest", encoder=encoder, input_size=394)
    assert open_corpus(dest).info.feature_names[9:11] == ("lsa.9", "static:tiny-static.0")


def test_changed_model_is_an_error(
    static_folder: Path, conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    dest = encode_corpus(write_corpus(conversations(3)), tmp_path / "dest", encoder=f"static:{static_folder}")
    other = tmp_path / "other"
    shutil.copytree(static_folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"note": 1}))
    with pytest.raises(UsageError, match="none of the given model paths holds its files"):
        load_encoder(dest, model_paths=[other])


@pytest.mark.parametrize("kind", ["static", "sentence"])
@pytest.mark.parametrize("source", ["/no/such/folder", "./model", "a/b/c", "org/../name", "~/none"])
def test_absent_folder_is_an_error(kind: Any, source: str) -> None:  # noqa: ANN401 - a literal
    with pytest.raises(
        UsageError, match=f"{kind}:{source}: expected a model's folder, found none there: check"
    ):
        find_model(kind, source)


def test_hub_id_without_a_network_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def refuse(*_: Any, **options: Any) -> str:  # noqa: ANN401 - the real signature is long
        assert "*.safetensors" in options["allow_patterns"]
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(
        UsageError, match=r"sentence:org/name: no such folder here, .*give its folder, sentence:PATH"
    ):
        load_sentence("org/name")


def test_hub_id_is_kept_and_found_again(
    static_folder: Path, conversations: Callable[..., list[Conversation]], write_corpus: Callable[..., Path],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The hub's part is played by a folder, since no test may need a network."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(static_folder))
    dest = encode_corpus(write_corpus(conversations(3)), tmp_path / "dest", encoder="static:org/name")
    assert open_corpus(dest).info.encoder.name == "static:org/name"
    assert load_encoder(dest).parts[0].hub_id == "org/name"
    other = tmp_path / "other"
    shutil.copytree(static_folder, other)
    (other / "extra.txt").write_text("x")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(other))
    with pytest.raises(CorpusError, match=r"static:org/name are not those that the corpus was encoded with"):
        load_encoder(dest)


def test_pickled_weights_are_refused(static_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(static_folder, folder)
    (folder / "1_Dense").mkdir()
    (folder / "1_Dense" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(
        ModelFileError, match=r"pytorch_model.bin is a pickle without a .safetensors file beside it"
    ):
        find_model("sentence", str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelFileError, match="expected weights in a .safetensors file, found none"):
        find_model("static", str(folder))


@pytest.mark.parametrize(("kind", "load"), [("static", load_static), ("sentence", load_sentence)])
def test_foreign_folder_is_an_error(kind: str, load: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    (tmp_path / "modules.json").write_text("{}")
    with pytest.raises(ModelFileError, match=rf"^{kind}:.* cannot read this folder .*expected"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("package", "load", "command"),
    [
        ("model2vec", load_static, r"pip install 'tenor\[static\]'"),
        ("sentence_transformers", load_sentence, r"pip install 'tenor\[sentence\]'"),
    ],
)
def test_missing_extra_is_named(
    package: str, load: Callable[[str], object], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=command):
        load("anything")
