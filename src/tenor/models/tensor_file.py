"""Strict safetensors: named arrays and one JSON document in a file whose every byte is under a checksum.

A file is judged by its content, never by its name; the header is checked before any array is read, and
nothing in it is ever run, opened or used as a path. The checksum finds damage; it is no signature.
Knows nothing of models.

Layout (https://github.com/huggingface/safetensors): 8 bytes little-endian length of the header, the header as
JSON, the arrays' bytes. The header begins with ``__metadata__``, which holds the single key ``tenor``: a JSON
text ``{"checksum": ..., "metadata": ...}``. The checksum is the SHA-256 of the whole file with the checksum's
own 64 digits, which stand at a fixed place, as zeros.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tenor.errors import ModelFileError, describe_os_error
from tenor.files import require_path, write_bytes
from tenor.models.metadata import list_names

_KEY = "tenor"
_NO_CHECKSUM = b"0" * 64
_HEADER_START = b'{"__metadata__":{"tenor":"{\\"checksum\\":\\"'
_CHECKSUM_START = 8 + len(_HEADER_START)
_CHECKSUM_END = _CHECKSUM_START + len(_NO_CHECKSUM)
_MAX_HEADER_BYTES = 8 << 20
_MAX_RANK = 8
_BLOCK_BYTES = 1 << 20

#: What may stand in a file, by its safetensors name; all little-endian.
_DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "|u1"}

#: How files begin that people mistake for a model file, or would like tenor to open.
_SIGNATURES = (
    (b"\x80", "a pickle"),
    (b"PK\x03\x04", "a zip archive such as torch.save writes, with a pickle in it"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"GGUF", "a GGUF file"),
    (b"ARROW1", "an Arrow file"),
    (b"PAR1", "a Parquet file"),
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """Where an array stands in the file.

    Attributes:
        dtype: numpy dtype.
        shape: sizes.
        start: first byte, from the beginning of the file.
        num_bytes: how many.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    num_bytes: int


@dataclass(frozen=True)
class TensorFile:
    """A file whose header and checksum are right.

    Attributes:
        path: the file.
        metadata: the JSON value that was saved.
        specs: name -> where the array stands.
    """

    path: Path
    metadata: Any
    specs: dict[str, TensorSpec]

    def read(self) -> dict[str, Array]:
        """Read all arrays; refuse those that hold numbers that are not finite.

        Raises:
            ModelFileError: NaN or infinity (the arrays are named), or the file changed meanwhile.
        """
        arrays: dict[str, Array] = {}
        with _open(self.path) as handle:
            for name, spec in self.specs.items():
                handle.seek(spec.start)
                array = np.empty(spec.shape, dtype=spec.dtype)
                if handle.readinto(array.reshape(-1).view(np.uint8)) != spec.num_bytes:
                    raise ModelFileError(f"{self.path}: the file changed while it was read")
                arrays[name] = array
        wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
        if wrong:
            raise ModelFileError(f"{self.path}: tensors hold NaN or infinity: {list_names(wrong)}")
        return arrays


def write_tensor_file(path: Path, arrays: Mapping[str, Array], metadata: Any) -> None:  # noqa: ANN401 - JSON
    """Write arrays and a JSON value; the same input gives the same bytes.

    Args:
        path: where to; replaced at once and whole.
        arrays: name -> array of float32, float64, int64, int32 or uint8, finite.
        metadata: JSON value.

    Raises:
        ModelFileError: NaN or infinity in an array, another dtype.
        StorageError: the file cannot be written; an older one is untouched.
    """
    from safetensors.numpy import save

    known = {np.dtype(name) for name in _DTYPES.values()}
    for name, array in arrays.items():
        if array.dtype not in known:
            raise ModelFileError(
                f"{path}: tensor {name} has dtype {array.dtype}, which the format does not know"
            )
        if not np.isfinite(array).all():
            raise ModelFileError(f"{path}: tensor {name} holds NaN or infinity, not written")
    document = {"checksum": _NO_CHECKSUM.decode(), "metadata": metadata}
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":"))
    data = save({name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}, metadata={_KEY: text})
    checksum = hashlib.sha256(data).hexdigest().encode()
    write_bytes(path, data[:_CHECKSUM_START] + checksum + data[_CHECKSUM_END:])


def open_tensor_file(path: str | Path, newest_version: int) -> TensorFile:
    """Check a file's container: kind, header, version and checksum.

    Args:
        path: any file.
        newest_version: the highest ``metadata.format_version`` that the caller understands.

    Raises:
        ModelFileError: anything else than a whole file of this format; the message names what is wrong.
    """
    path = require_path(path, "model")
    with _open(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        header_bytes = _read_header(path, handle.read(8), handle, size)
        header = _parse_json(path, header_bytes, "header")
        if not isinstance(header, dict):
            raise ModelFileError(f"{path}: the header must be a JSON object")
        document = _read_document(path, header.pop("__metadata__", None))
        _check_version(path, document["metadata"], newest_version)
        _check_sum(path, handle, 8 + len(header_bytes), document["checksum"])
        specs = _read_specs(path, header, 8 + len(header_bytes), size)
    return TensorFile(path, document["metadata"], specs)


def is_tensor_file(path: Path) -> bool:
    """Whether a file begins as write_tensor_file's do; nothing more is looked at."""
    with _open(path) as handle:
        return bool(handle.read(_CHECKSUM_START)[8:] == _HEADER_START)


def _open(path: Path) -> Any:  # noqa: ANN401 - a binary file object
    try:
        return path.open("rb")
    except IsADirectoryError as error:
        hint = (
            " (it is a corpus: the model comes first, then the corpus)"
            if (path / "tenor.json").exists()
            else ""
        )
        raise ModelFileError(f"{path}: cannot be read: {describe_os_error(error)}{hint}") from error
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {describe_os_error(error)}") from error


def _read_header(path: Path, start: bytes, handle: Any, size: int) -> bytes:  # noqa: ANN401 - a binary file
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > _MAX_HEADER_BYTES or length % 8:
        for signature, kind in _SIGNATURES:
            if start.startswith(signature):
                raise ModelFileError(
                    f"{path}: expected a safetensors file of tenor, found {kind}: it was not opened, because "
                    "a model file must not be able to run code (train the model again with tenor)"
                )
        if len(start) < 8:
            raise ModelFileError(f"{path}: expected a safetensors file, found {size} bytes: it is cut off")
        raise ModelFileError(
            f"{path}: expected a safetensors file whose header has at most {_MAX_HEADER_BYTES} bytes, a "
            f"multiple of 8, found {length}: this is another kind of file, or a hostile one"
        )
    header: bytes = handle.read(length)
    if len(header) < length:
        raise ModelFileError(
            f"{path}: the header should have {length} bytes, found {len(header)}: the file is cut off"
        )
    return header


def _parse_json(path: Path, data: bytes | str, what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Strict JSON: UTF-8, no duplicate keys, no NaN, bounded nesting."""

    def refuse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("a key stands twice in one object")
        return result

    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(text, object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant)
    except RecursionError as error:
        raise ModelFileError(f"{path}: the {what} is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        reason = str(error).split(":")[0] if isinstance(error, UnicodeDecodeError) else str(error)
        raise ModelFileError(f"{path}: the {what} is not valid JSON: {reason}") from error


def _read_document(path: Path, entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict) or _KEY not in entry:
        raise ModelFileError(
            f"{path}: expected a model file of tenor, found a safetensors file without its metadata"
        )
    if entry.keys() != {_KEY} or not isinstance(entry[_KEY], str):
        raise ModelFileError(
            f"{path}: __metadata__ must hold the text {_KEY!r} alone, found {list_names(entry)}"
        )
    document = _parse_json(path, entry[_KEY], "metadata")
    if not isinstance(document, dict) or document.keys() != {"checksum", "metadata"}:
        raise ModelFileError(
            f"{path}: the metadata must be an object with the keys 'checksum' and 'metadata'"
        )
    return document


def _check_version(path: Path, metadata: object, newest: int) -> None:
    found = metadata.get("format_version") if isinstance(metadata, dict) else None
    if isinstance(found, int) and found > newest:
        raise ModelFileError(
            f"{path}: the file has format_version {found}, this tenor reads up to {newest}: "
            "install a newer tenor"
        )


def _check_sum(path: Path, handle: Any, header_end: int, checksum: object) -> None:  # noqa: ANN401 - a binary file
    handle.seek(0)
    start = handle.read(header_end)
    digest = hashlib.sha256(start[:_CHECKSUM_START] + _NO_CHECKSUM + start[_CHECKSUM_END:])
    while block := handle.read(_BLOCK_BYTES):
        digest.update(block)
    found = digest.hexdigest()
    if start[_CHECKSUM_START:_CHECKSUM_END] != found.encode() or checksum != found:
        raise ModelFileError(
            f"{path}: the checksum is wrong: the file is damaged or was changed (its bytes have {found[:12]}...)"
        )


def _read_specs(path: Path, header: dict[str, Any], data_start: int, size: int) -> dict[str, TensorSpec]:
    """Check every entry; together they must cover the data without gap or overlap, as safetensors demands."""
    specs = {name: _read_spec(path, name, entry, data_start) for name, entry in header.items()}
    end = data_start
    for name, spec in sorted(specs.items(), key=lambda item: (item[1].start, item[1].num_bytes)):
        if spec.start != end:
            raise ModelFileError(
                f"{path}: tensor {list_names([name])} begins at byte {spec.start}, expected {end}: the "
                "tensors must follow each other without gap or overlap"
            )
        end += spec.num_bytes
    if end != size:
        raise ModelFileError(f"{path}: the tensors end at byte {end}, the file at {size}")
    return specs


def _read_spec(path: Path, name: str, entry: object, data_start: int) -> TensorSpec:
    where = f"{path}: tensor {list_names([name])}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"{where} must have dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ModelFileError(
            f"{where} must have a dtype of {', '.join(_DTYPES)}, found {list_names([dtype])}"
        )
    if not _are_sizes(shape) or len(shape) > _MAX_RANK:
        raise ModelFileError(f"{where} must have a shape of at most {_MAX_RANK} whole numbers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelFileError(f"{where} must have two whole numbers as data_offsets")
    num_bytes = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if offsets[1] - offsets[0] != num_bytes:
        raise ModelFileError(
            f"{where} takes {num_bytes} bytes by its shape and {offsets[1] - offsets[0]} by its data_offsets"
        )
    return TensorSpec(np.dtype(_DTYPES[dtype]), tuple(shape), data_start + offsets[0], num_bytes)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
