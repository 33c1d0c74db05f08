"""Build hostile model files, each with what its refusal must say: run as a script, or imported by the test.

A file is taken apart with json and struct alone, changed, and put together again with a right checksum, so
that it is the change that must be found and not the broken seal. The seed decides bytes and places.

    python tests/hostile/make_hostile.py FOLDER [SEED]
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle  # to build what must never be opened
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tenor.lexical.weighting import describe_space
from tenor.models.metadata import ModelMetadata
from tenor.models.model_file import save_model
from tenor.models.sequence import SequenceClassifier

NO_CHECKSUM = "0" * 64


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.sentinel,))


@dataclass
class Parts:
    """A model file taken apart."""

    tensors: dict[str, Any]  # the header's entries
    metadata: Any
    data: bytearray
    extra: dict[str, Any]  # more entries of __metadata__

    def seal(self, *, header_text: Callable[[str], str] = lambda text: text) -> bytes:
        """Put together, with a right checksum, whatever the content."""
        document = json.dumps({"checksum": NO_CHECKSUM, "metadata": self.metadata}, separators=(",", ":"))
        header = {"__metadata__": {"tenor": document, **self.extra}, **self.tensors}
        text = header_text(json.dumps(header, separators=(",", ":"))).encode()
        text += b" " * (-len(text) % 8)
        whole = struct.pack("<Q", len(text)) + text + bytes(self.data)
        checksum = hashlib.sha256(whole).hexdigest().encode()
        return whole.replace(NO_CHECKSUM.encode(), checksum, 1)

    def entry(self, name: str) -> dict[str, Any]:
        return self.tensors[name]

    def append(self, name: str, dtype: str, shape: list[int], data: bytes) -> None:
        self.tensors[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [len(self.data), len(self.data) + len(data)],
        }
        self.data += data


def take_apart(whole: bytes) -> Parts:
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    document = json.loads(header.pop("__metadata__")["tenor"])
    return Parts(header, document["metadata"], bytearray(whole[8 + length :]), {})


def make_good(path: Path, seed: int) -> bytes:
    """A tiny model file that loads."""
    model = SequenceClassifier(3, 4, 1, 2, kernel_sizes=(3,))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    metadata = ModelMetadata(level="conversation", config=model.config(), threshold=0.5, training={"seed": 1})
    return save_model(path, model, metadata).read_bytes()


WEIGHT = "projection.weight"  # (4, 3) float32


def change_metadata(**changes: object) -> Callable[[Parts], None]:
    return lambda parts: parts.metadata.update(changes)


def change_config(**changes: object) -> Callable[[Parts], None]:
    return lambda parts: parts.metadata["config"].update(changes)


def change_entry(**changes: object) -> Callable[[Parts], None]:
    return lambda parts: parts.entry(WEIGHT).update(changes)


def poison(value: float) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        start = parts.entry(WEIGHT)["data_offsets"][0]
        parts.data[start + 8 : start + 12] = struct.pack("<f", value)

    return change


def zero_std(parts: Parts) -> None:
    start, end = parts.entry("feature_std")["data_offsets"]
    parts.data[start:end] = bytes(end - start)


def overlap(parts: Parts) -> None:
    other = parts.entry("projection.bias")
    size = other["data_offsets"][1] - other["data_offsets"][0]
    other["data_offsets"] = [0, size]


def rename(parts: Parts) -> None:
    parts.append("x", "F32", [2], bytes(8))
    parts.tensors["y"] = parts.tensors.pop(WEIGHT)


def add_lexical(parts: Parts) -> None:
    parts.append("lexical.columns", "I64", [1], bytes(8))
    for name, shape in (("idf", [1]), ("coefficients", [1, 1]), ("intercept", [1])):
        parts.append(f"lexical.{name}", "F32", shape, bytes(4))
    parts.append("lexical.space", "I64", [6], describe_space().tobytes())


def nest(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


#: name -> (change to a good file's parts, what the refusal must say)
CHANGES: dict[str, tuple[Callable[[Parts], None], str]] = {
    "newer_version": (change_metadata(format_version=7), "format_version 7, this tenor reads up to 1"),
    "version_zero": (change_metadata(format_version=0), "format_version must be 1, found 0"),
    "version_text": (
        change_metadata(format_version="1"),
        "format_version must be an integer, found a string",
    ),
    "unknown_key": (change_metadata(run_me="os.system"), "metadata has unknown keys: 'run_me'"),
    "missing_key": (lambda parts: parts.metadata.pop("level"), "metadata lacks keys: 'level'"),
    "wrong_level": (
        change_metadata(level="profile"),
        "metadata.level must be one of 'conversation', 'author'",
    ),
    "wrong_type": (change_metadata(threshold="0.5"), "metadata.threshold must be a finite number or null"),
    "bool_as_number": (change_metadata(threshold=True), "metadata.threshold must be a finite number or null"),
    "huge_number": (
        change_metadata(threshold=int("7" * 400)),
        "metadata.threshold must be a finite number or null",
    ),
    "metadata_list": (
        lambda parts: setattr(parts, "metadata", []),
        "metadata must be an object, found a list",
    ),
    "classes_count": (change_metadata(classes=["a", "b", "c"]), "config.num_classes = 2 entries, found 3"),
    "classes_same": (
        change_metadata(classes=[1, 1]),
        "classes must be different numbers or different strings",
    ),
    "unknown_config": (change_config(code="x"), "metadata.config has unknown keys: 'code'"),
    "huge_config": (
        change_config(hidden_size=10**9),
        "hidden_size must be from 1 to 65536, found 1000000000",
    ),
    "many_layers": (change_config(num_layers=10**6), "num_layers must be from 0 to 256, found 1000000"),
    "odd_heads": (change_config(num_heads=3), "hidden_size must be a multiple of num_heads"),
    "even_kernel": (change_config(kernel_sizes=[4]), "kernel_sizes must be 1 to 64 odd numbers"),
    "no_heads": (change_config(num_heads=0), "num_heads must be from 1 to 65536, found 0"),
    "dropout_one": (change_config(dropout=1), r"dropout must be in [0, 1), found 1.0"),
    "deep_training": (change_metadata(training=nest(40)), "nested deeper than 16"),
    "other_config": (change_config(input_size=5), "misshapen: 'feature_mean float32 (3,) instead of"),
    "missing_tensor": (rename, "missing: 'projection.weight'; unknown: 'x', 'y'"),
    "path_as_name": (lambda parts: parts.append("../../x", "F32", [1], bytes(4)), "unknown: '../../x'"),
    "lexical_unasked": (add_lexical, "there is a lexical prior, but config.has_prior is false"),
    "lexical_part": (
        lambda parts: parts.append("lexical.idf", "F32", [1], bytes(4)),
        "the lexical prior: own: expected the tensors columns, idf",
    ),
    "lexical_unknown": (
        lambda parts: parts.append("lexical.listener.idf", "F32", [1], bytes(4)),
        "the lexical prior: expected parts of own, bayes, characters, character_bayes, first, rest, others, peak, "
        "surface, authors, found listener",
    ),
    "wrong_shape": (change_entry(shape=[3, 4]), "misshapen: 'projection.weight float32 (3, 4) instead of"),
    "shape_lies": (
        change_entry(shape=[400, 300]),
        "takes 480000 bytes by its shape and 48 by its data_offsets",
    ),
    "negative_shape": (change_entry(shape=[-4, -3]), "must have a shape of at most 8 whole numbers"),
    "huge_shape": (change_entry(shape=[1 << 60, 1 << 60]), "must have a shape of at most 8 whole numbers"),
    "many_axes": (change_entry(shape=[1] * 64 + [4, 3]), "must have a shape of at most 8 whole numbers"),
    "pickle_dtype": (change_entry(dtype="O"), "must have a dtype of F32, F64, I64, I32, U8, found 'O'"),
    "integer_weights": (
        change_entry(dtype="I32"),
        "misshapen: 'projection.weight int32 (4, 3) instead of float32",
    ),
    "extra_field": (change_entry(code="x"), "must have dtype, shape and data_offsets"),
    "overlap": (overlap, "must follow each other without gap or overlap"),
    "nan_weight": (poison(float("nan")), "tensors hold NaN or infinity: 'projection.weight'"),
    "infinite_weight": (poison(float("inf")), "tensors hold NaN or infinity: 'projection.weight'"),
    "zero_std": (zero_std, "feature_std must be above 0"),
    "hidden_data": (lambda parts: parts.data.extend(b"#!/bin/sh"), "the file at"),
    "more_metadata": (
        lambda parts: parts.extra.update(code="x"),
        "__metadata__ must hold the text 'tenor' alone",
    ),
}


def detonate(content: bytes) -> None:
    """Do what no reader may do, to show that the bombs are live."""
    pickle.loads(content)


@dataclass
class Source:
    """What hostile containers are made from."""

    good: bytes
    sentinel: Path
    chance: random.Random

    @property
    def header_end(self) -> int:
        return 8 + int(struct.unpack("<Q", self.good[:8])[0])

    def pickled(self, protocol: int) -> bytes:
        return pickle.dumps(Bomb(self.sentinel), protocol=protocol)

    def archived(self) -> bytes:
        """What torch.save writes: a zip with a pickle."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", self.pickled(2))
        return buffer.getvalue()

    def flipped(self) -> bytes:
        changed = bytearray(self.good)
        changed[self.chance.randrange(self.header_end, len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)

    def replaced(self, old: str, new: str) -> bytes:
        """With a text of the header replaced, under a right checksum."""
        return take_apart(self.good).seal(header_text=lambda text: text.replace(old, new))


def wrap(header: bytes, data: bytes = b"") -> bytes:
    """A container with any bytes as its header."""
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


SHAPE = '"shape":[4,3]'
FOREIGN = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'

#: name -> (maker of the whole file, what the refusal must say)
CONTAINERS: dict[str, tuple[Callable[[Source], bytes], str]] = {
    "pickle_protocol_2": (lambda source: source.pickled(2), "found a pickle"),
    "pickle_protocol_4": (lambda source: source.pickled(4), "found a pickle: it was not opened"),
    "pickle_protocol_5": (lambda source: source.pickled(5), "a model file must not be able to run code"),
    "pickle_text": (lambda source: source.pickled(0), "another kind of file, or a hostile one"),
    "torch_archive": (lambda source: source.archived(), "found a zip archive such as torch.save writes"),
    "gzip": (lambda source: gzip.compress(source.pickled(4), mtime=0), "found a gzip file"),
    "empty": (lambda source: b"", "found 0 bytes: it is cut off"),
    "few_bytes": (lambda source: b"\x10\x00\x00", "found 3 bytes: it is cut off"),
    "script": (lambda source: b"import os; os.system('id')\n", "whose header has at most"),
    "huge_header": (
        lambda source: struct.pack("<Q", 1 << 62) + source.good[8:],
        "at most 8388608 bytes, a multiple of 8, found 4611686018427387904",
    ),
    "long_header": (lambda source: struct.pack("<Q", 1 << 20) + source.good[8:], "should have 1048576 bytes"),
    "cut_in_header": (lambda source: source.good[: source.header_end // 2], "the file is cut off"),
    "cut_in_data": (lambda source: source.good[:-5], "the checksum is wrong"),
    "longer": (lambda source: source.good + b"\0", "the checksum is wrong"),
    "flipped_bit": (lambda source: source.flipped(), "the file is damaged or was changed"),
    "deep_header": (lambda source: wrap(b'{"a":' + b"[" * 100_000), "the header is nested too deeply"),
    "header_no_json": (lambda source: wrap(b"{'a': 1}"), "the header is not valid JSON: Expecting"),
    "header_no_utf8": (lambda source: wrap(b'{"\xff":1}'), "is not valid JSON: 'utf-8' codec"),
    "header_list": (lambda source: wrap(b"[]"), "the header must be a JSON object"),
    "duplicate_key": (
        lambda source: source.replaced('"feature_std":', '"feature_std":{},"feature_std":'),
        "a key stands twice in one object",
    ),
    "nan_in_header": (lambda source: source.replaced(SHAPE, '"shape": [NaN, 3]'), "NaN is no JSON number"),
    "endless_number": (
        lambda source: source.replaced(SHAPE, f'"shape": [{"9" * 5000}, 3]'),
        "is not valid JSON: Exceeds the limit",
    ),
    "foreign": (lambda source: wrap(FOREIGN, bytes(4)), "found a safetensors file without its metadata"),
    "no_checksum": (
        lambda source: wrap(b'{"__metadata__":{"tenor":"{}"}}'),
        "the keys 'checksum' and 'metadata'",
    ),
}


def make_hostile_files(folder: Path, sentinel: Path, seed: int = 0) -> dict[str, tuple[Path, str]]:
    """Write all hostile files.

    Args:
        folder: where to; made if needed.
        sentinel: a path that appears if any of them is executed.
        seed: decides weights and the place of the flipped bit.

    Returns:
        name -> (the file, what its refusal must say).
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = Source(make_good(folder / "good", seed), sentinel, random.Random(seed))
    (folder / "good").unlink()
    files: dict[str, tuple[Path, str]] = {}
    for name, (make, message) in CONTAINERS.items():
        files[name] = (folder / f"{name}.safetensors", message)
        files[name][0].write_bytes(make(source))
    for name, (change, message) in CHANGES.items():
        parts = take_apart(source.good)
        change(parts)
        files[name] = (folder / f"{name}.pt", message)
        files[name][0].write_bytes(parts.seal())
    return files


if __name__ == "__main__":
    target = Path(sys.argv[1])
    made = make_hostile_files(target, target / "EXECUTED", int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write(f"{len(made)} files in {target}\n")
