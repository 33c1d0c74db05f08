"""An encoder on disk: ``encoder.safetensors`` in an analyzed corpus, tensors and checked JSON, no code.

Holds no text, no vocabulary and no folder. The same encoder always gives the same bytes, and their SHA-256 is
its hash. Knows nothing of corpora.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.corpus.layout import check_plain_file
from tenor.encoding.dynamics import DynamicsEncoder
from tenor.encoding.encoder import Encoder, SumEncoder
from tenor.encoding.lsa import LsaEncoder
from tenor.encoding.pretrained import PretrainedEncoder, PretrainedKind, hash_model, is_hub_id
from tenor.encoding.sentence import load_sentence
from tenor.encoding.static import load_static
from tenor.errors import CorpusError, UsageError
from tenor.ngrams import NgramSpace

ENCODER_NAME = "encoder.safetensors"
#: Of this file; a file with a higher number is refused.
ENCODER_FORMAT_VERSION = 1

_METADATA_KEY = "tenor_encoder"  # the only one: safetensors keeps several in no fixed order
_REMEDY = "encode the corpus again"

Tensors = dict[str, npt.NDArray[Any]]


def dump_encoder(encoder: SumEncoder) -> bytes:
    """The bytes of the encoder's file."""
    from safetensors.numpy import save

    tensors: Tensors = {}
    parts = []
    for index, part in enumerate(encoder.parts):
        parts.append(_describe(part))
        if isinstance(part, LsaEncoder):
            tensors |= {f"{index}.{name}": array for name, array in part.to_tensors().items()}
    metadata = {"format_version": ENCODER_FORMAT_VERSION, "parts": parts}
    return bytes(save(tensors, metadata={_METADATA_KEY: json.dumps(metadata, sort_keys=True)}))


def hash_encoder(data: bytes) -> str:
    """The hash by which corpora and models name an encoder: hex SHA-256 of its file."""
    return hashlib.sha256(data).hexdigest()


def _describe(part: Encoder) -> dict[str, Any]:
    if isinstance(part, LsaEncoder):
        space = part.space
        return {
            "kind": "lsa",
            "input_size": part.input_size,
            "word_columns": space.word_columns,
            "char_columns": space.char_columns,
            "char_sizes": list(space.char_sizes),
        }
    if isinstance(part, PretrainedEncoder):
        return {
            "kind": part.kind,
            "input_size": part.input_size,
            "model_name": part.model_name,
            "hub_id": part.hub_id,
            "hash": part.hash,
        }
    return {"kind": "dynamics", "feature_names": list(part.feature_names)}


def load_encoder(
    path: Path | str,
    *,
    model_paths: Sequence[Path | str] = (),
    batch_size: int = 64,
    device: str | None = None,
) -> SumEncoder:
    """Read an encoder; it gives the vectors, bit for bit, that it gave when it was saved.

    Args:
        path: ``encoder.safetensors``, or the analyzed corpus that holds it.
        model_paths: where the local folders of static and sentence encoders lie now (the file does not say);
            each is recognised by its hash. Models of the hub are found by themselves.
        batch_size: texts of one forward pass of a sentence encoder.
        device: of a sentence encoder; None = the best that this machine has.

    Raises:
        CorpusError: absent, damaged, of a newer format version, or a model's files are not those it was saved
            with.
        UsageError: a model that is not among `model_paths`.
        ModelFileError: one that cannot be read.
    """
    path = Path(path)
    path = path / ENCODER_NAME if path.is_dir() else path
    metadata, tensors = _read(path)
    version = metadata.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(path, "no format_version")
    if version > ENCODER_FORMAT_VERSION:
        raise CorpusError(
            f"{path}: the encoder has format version {version}, this tenor reads up to "
            f"{ENCODER_FORMAT_VERSION}: install a newer tenor, or {_REMEDY}"
        )
    records = metadata.get("parts")
    if (
        not isinstance(records, list)
        or not records
        or not all(isinstance(record, dict) for record in records)
    ):
        raise _damaged(path, "no list of parts")
    parts: list[Encoder] = []
    for index, record in enumerate(records):
        own = {
            name.partition(".")[2]: tensors.pop(name)
            for name in list(tensors)
            if name.startswith(f"{index}.")
        }
        kind = record.get("kind")
        if kind == "lsa":
            parts.append(_load_lsa(path, record, own))
        elif kind == "dynamics" and record == _describe(DynamicsEncoder()):
            parts.append(DynamicsEncoder())
        elif kind in ("static", "sentence"):
            parts.append(_load_pretrained(path, kind, record, model_paths, batch_size, device))
        else:
            raise _damaged(path, f"part {index} is no encoder of this tenor: {str(kind)[:40]!r}")
    if tensors:
        raise _damaged(path, f"unexpected tensors {', '.join(sorted(tensors)[:3])}")
    return SumEncoder(parts)


def _read(path: Path) -> tuple[dict[str, Any], Tensors]:
    from safetensors import SafetensorError, safe_open

    if not path.exists() and not path.is_symlink():
        raise CorpusError(
            f"{path}: expected a saved encoder, found none: give a corpus that tenor encode has made (features "
            "that came with a source have no encoder)"
        )
    check_plain_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get(_METADATA_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, "not a safetensors file of tenor") from error
    if not isinstance(metadata, dict):
        raise _damaged(path, "no description of an encoder")
    return metadata, tensors


def _load_lsa(path: Path, record: dict[str, Any], tensors: Tensors) -> LsaEncoder:
    keys = ("input_size", "word_columns", "char_columns")
    sizes = [record.get(name) for name in keys]
    chars = record.get("char_sizes")
    are_sizes = all(isinstance(size, int) and 1 <= size <= 1 << 18 for size in sizes)
    if not are_sizes or set(record) != {"kind", "char_sizes", *keys} or chars not in _CHAR_SIZES:
        raise _damaged(path, "lsa: unexpected sizes")
    size, word_columns, char_columns = (int(value) for value in sizes if value is not None)
    space = NgramSpace(word_columns, char_columns, (chars[0], chars[1]))
    shapes = {name: (array.dtype.name, array.shape) for name, array in tensors.items()}
    rows = len(tensors["columns"]) if "columns" in tensors else 0
    expected = {
        "idf": ("float32", (space.num_columns,)),
        "columns": ("int32", (rows,)),
        "components": ("float32", (rows, size)),
        "explained_variance": ("float32", (size,)),
    }
    if shapes != expected:
        wrong = sorted(name for name in shapes | expected if shapes.get(name) != expected.get(name))
        raise _damaged(path, f"lsa: tensors missing, unexpected or of another shape: {', '.join(wrong[:4])}")
    columns = tensors["columns"]
    is_sound = not rows or (
        columns[0] >= 0 and columns[-1] < space.num_columns and (np.diff(columns) > 0).all()
    )
    if not is_sound or not all(np.isfinite(array).all() for array in tensors.values()):
        raise _damaged(path, "lsa: numbers outside their range")
    return LsaEncoder.from_tensors(tensors, space)


_CHAR_SIZES = [[least, most] for least in (2, 3) for most in range(least, 9)]


def _load_pretrained(
    path: Path,
    kind: PretrainedKind,
    record: dict[str, Any],
    model_paths: Sequence[Path | str],
    batch_size: int,
    device: str | None,
) -> PretrainedEncoder:
    name, hub_id, expected = (record.get(key) for key in ("model_name", "hub_id", "hash"))
    is_known_place = hub_id is None or (isinstance(hub_id, str) and is_hub_id(hub_id))
    if not (isinstance(name, str) and isinstance(expected, str) and is_known_place):
        raise _damaged(path, f"{kind}: unexpected name or hash")
    folders = [str(folder) for folder in model_paths if hash_model(kind, Path(folder)) == expected]
    if folders:
        source = folders[0]
    elif isinstance(hub_id, str):
        source = hub_id
    else:
        raise UsageError(
            f"{path}: the encoder {kind}:{name[:80]} was read from a local folder, and none of the given "
            f"model paths holds its files: give the folder as a model path, or encode with {kind}:PATH"
        )
    encoder = (
        load_static(source)
        if kind == "static"
        else load_sentence(source, batch_size=batch_size, device=device)
    )
    if encoder.hash != expected or encoder.input_size != record.get("input_size"):
        raise CorpusError(
            f"{path}: the files of {kind}:{name[:80]} are not those that the corpus was encoded with "
            f"(expected hash {expected[:12]}, found {encoder.hash[:12]}): {_REMEDY}"
        )
    return encoder


def _damaged(path: Path, what: str) -> CorpusError:
    return CorpusError(f"{path}: {what}: {_REMEDY}")
