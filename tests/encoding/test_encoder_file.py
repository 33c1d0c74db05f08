"""The encoder's file: the same bits back, the same bytes again, and hostile files refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tenor.corpus.schema import Conversation
from tenor.encoding.dynamics import DynamicsEncoder
from tenor.encoding.encoder import SumEncoder
from tenor.encoding.encoder_file import ENCODER_NAME, dump_encoder, hash_encoder, load_encoder
from tenor.encoding.lsa import fit_lsa
from tenor.encoding.messages import flatten_conversations
from tenor.errors import CorpusError
from tenor.ngrams import NgramSpace

SPACE = NgramSpace(64, 128, (2, 3))
TEXTS = ["alpha beta", "gamma delta secretword", "alpha delta", "epsilon", "beta beta gamma"]
MESSAGES = flatten_conversations([Conversation("c", ["a", "b", "a"], ["alpha", "", "beta gamma"])])


@pytest.fixture(scope="module")
def encoder() -> SumEncoder:
    """lsa+dynamics"""
    return SumEncoder([fit_lsa(TEXTS, 3, space=SPACE), DynamicsEncoder()])


def unpack(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return load(data), json.loads(header["__metadata__"]["tenor_encoder"])


def pack(tensors: dict[str, np.ndarray], metadata: Any) -> bytes:  # noqa: ANN401 - any JSON
    return save(tensors, metadata={"tenor_encoder": json.dumps(metadata)})


def test_the_same_bits_and_bytes(encoder: SumEncoder, tmp_path: Path) -> None:
    data = dump_encoder(encoder)
    (tmp_path / ENCODER_NAME).write_bytes(data)
    restored = load_encoder(tmp_path)
    np.testing.assert_array_equal(restored.encode(MESSAGES), encoder.encode(MESSAGES))
    assert restored.name == encoder.name == "lsa+dynamics"
    assert restored.feature_names == encoder.feature_names
    assert restored.input_size == 11
    assert dump_encoder(restored) == data
    assert hash_encoder(data) == hash_encoder(dump_encoder(load_encoder(tmp_path / ENCODER_NAME)))


def test_the_file_holds_no_text(encoder: SumEncoder) -> None:
    data = dump_encoder(encoder)
    assert b"secretword" not in data
    assert b"alpha" not in data


def test_absent_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="encoder.safetensors"):
        load_encoder(tmp_path / ENCODER_NAME)


def test_symlink_is_an_error(encoder: SumEncoder, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(dump_encoder(encoder))
    (tmp_path / ENCODER_NAME).symlink_to(tmp_path / "real")
    with pytest.raises(CorpusError, match="symlink"):
        load_encoder(tmp_path / ENCODER_NAME)


def test_newer_format_version_is_an_error(encoder: SumEncoder, tmp_path: Path) -> None:
    tensors, metadata = unpack(dump_encoder(encoder))
    (tmp_path / ENCODER_NAME).write_bytes(pack(tensors, metadata | {"format_version": 2}))
    with pytest.raises(CorpusError, match="has format version 2, this tenor reads up to 1: install a newer"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95pickle",
        b"\xff" * 100,
        save({}),
        save({}, metadata={"tenor_encoder": "{"}),
        save({}, metadata={"tenor_encoder": "[" * 10_000}),
        save({}, metadata={"tenor_encoder": "[]"}),
        pack({}, {}),
        pack({}, {"format_version": True, "parts": []}),
        pack({}, {"format_version": 1, "parts": []}),
        pack({}, {"format_version": 1, "parts": [3]}),
        pack({}, {"format_version": 1, "parts": [{"kind": "pickle"}]}),
        pack({}, {"format_version": 1, "parts": [{"kind": ["lsa"]}]}),
        pack({}, {"format_version": 1, "parts": [{"kind": "dynamics", "feature_names": ["other"]}]}),
        pack({}, {"format_version": 1, "parts": [{"kind": "lsa"}]}),
        pack({}, {"format_version": 1, "parts": [{"kind": "static", "hub_id": "../../etc", "hash": "0"}]}),
        pack(
            {}, {"format_version": 1, "parts": [
                {"kind": "sentence", "model_name": "x", "hub_id": "/etc", "hash": "0", "input_size": 3}
            ]},
        ),
    ],
)  # fmt: skip
def test_foreign_content_is_an_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / ENCODER_NAME).write_bytes(data)
    with pytest.raises(CorpusError, match="encode the corpus again"):
        load_encoder(tmp_path)


def change(tensors: dict[str, np.ndarray], name: str, array: np.ndarray | None) -> dict[str, np.ndarray]:
    rest = {key: value for key, value in tensors.items() if key != name}
    return rest if array is None else rest | {name: array}


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("0.idf", lambda array: None, "idf"),
        ("0.idf", lambda array: array[:-1], "idf"),
        ("0.idf", lambda array: array.astype(np.float64), "idf"),
        ("0.idf", lambda array: np.where(array > array.min(), array, np.nan), "range"),
        ("0.components", lambda array: array[:, :2], "components"),
        ("0.columns", lambda array: array[::-1].copy(), "range"),
        ("0.columns", lambda array: array + 10_000, "range"),
        ("0.columns", lambda array: array - 1_000, "range"),
        ("0.columns", lambda array: None, "columns"),
        ("0.extra", lambda array: np.zeros(1, np.float32), "extra"),
        ("7.idf", lambda array: np.zeros(1, np.float32), "unexpected tensors"),
    ],
)
def test_wrong_tensors_are_an_error(
    encoder: SumEncoder, tmp_path: Path, name: str, make: Any, message: str  # noqa: ANN401 - a lambda
) -> None:  # fmt: skip
    tensors, metadata = unpack(dump_encoder(encoder))
    (tmp_path / ENCODER_NAME).write_bytes(pack(change(tensors, name, make(tensors.get(name))), metadata))
    with pytest.raises(CorpusError, match=message):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "sizes",
    [{"input_size": 0}, {"input_size": "3"}, {"word_columns": 2**40}, {"char_sizes": [1, 3]}, {"other": 1}],
)
def test_wrong_sizes_are_an_error(encoder: SumEncoder, tmp_path: Path, sizes: dict[str, Any]) -> None:
    tensors, metadata = unpack(dump_encoder(encoder))
    metadata["parts"][0] |= sizes
    (tmp_path / ENCODER_NAME).write_bytes(pack(tensors, metadata))
    with pytest.raises(CorpusError, match="lsa: unexpected sizes"):
        load_encoder(tmp_path)
