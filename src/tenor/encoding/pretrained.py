"""What the encoders with downloaded weights share: finding the model, its hash, encoding equal texts once.

Knows nothing of model2vec, of sentence-transformers or of torch: an encoder hands in a function.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from tenor.encoding.messages import Messages, require_texts
from tenor.errors import ModelFileError, UsageError
from tenor.files import sha256_file

FloatArray = npt.NDArray[np.float32]
PretrainedKind = Literal["static", "sentence"]

#: The files that make a model, in a folder or on the hub; weights in pickles are not among them.
_MODEL_PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
#: In the folder of a model that tenor fine-tuned: which labels it has seen.
FINETUNED_NAME = "finetuning.json"
_IGNORED_FOLDERS = ("onnx", "openvino", ".cache", ".git")
#: An id of the Hugging Face hub: NAME or OWNER/NAME.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_PICKLE_NAMES = ("pytorch_model.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt")


@dataclass(frozen=True, slots=True)
class Finetuned:
    """On what a model was fine-tuned, as EncoderInfo says it of what is fitted.

    Attributes:
        kept_epoch: whose weights it has; 0 = those of before, which know no labels.
    """

    fitted_split_hash: str
    fitted_ids_hash: str
    kept_epoch: int


@dataclass(frozen=True, slots=True)
class PretrainedEncoder:
    """An encoder whose weights were trained elsewhere; nothing is fitted here.

    Attributes:
        kind: ``static`` or ``sentence``.
        model_name: the hub id, or the last part of a local folder's path.
        hub_id: where the model can be had again; None for a local folder, whose place is kept nowhere.
        hash: SHA-256 over the model's files.
        input_size: F.
        embed: N texts to (N, F) float32.
        finetuned: what labels the model has seen, where it was fine-tuned by tenor; None = none that tenor knows of.
    """

    kind: PretrainedKind
    model_name: str
    hub_id: str | None
    hash: str
    input_size: int
    embed: Callable[[list[str]], FloatArray] = field(repr=False)
    finetuned: Finetuned | None = None

    @property
    def name(self) -> str:
        """Such as ``sentence:all-MiniLM-L6-v2``."""
        return f"{self.kind}:{self.model_name}"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name with a number from 0, such as ``static:potion.0``."""
        return tuple(f"{self.name}.{index}" for index in range(self.input_size))

    def encode(self, messages: Messages) -> FloatArray:
        """(M, F) float32; texts that are equal are encoded once.

        Raises:
            CorpusError: there are no texts.
        """
        return self.encode_texts(require_texts(messages, self.name))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """(N, F) float32 vectors of N texts, equal to the library's own up to rounding."""
        if not texts:
            return np.empty((0, self.input_size), np.float32)
        number = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        vectors = self.embed(list(number))
        return vectors[[number[text] for text in texts]]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's folder on this machine.

    Attributes:
        path: the folder.
        name: the hub id, or the folder's own name.
        hub_id: None when the user named a folder.
        hash: SHA-256 over its files' names and contents.
        finetuned: on what tenor fine-tuned it; None = tenor did not.
    """

    path: Path
    name: str
    hub_id: str | None
    hash: str
    finetuned: Finetuned | None


def find_model(kind: PretrainedKind, source: str) -> ModelFolder:
    """Find a model: a local folder, else in the hub's local cache, else on the hub.

    Raises:
        UsageError: it is nowhere; with the remedy.
        ModelFileError: it holds weights as a pickle only, or a damaged record of its fine-tuning.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        folder, hub_id = path.resolve(), None
    else:
        folder, hub_id = _download(kind, source), source
    if not _find_files(folder, ["*.safetensors"]):
        raise ModelFileError(
            f"{kind}:{source}: expected weights in a .safetensors file, found none: tenor loads no pickles, "
            "save the model with safetensors first"
        )
    for pickle in _find_files(folder, _PICKLE_NAMES):
        if not any(pickle.parent.glob("*.safetensors")):
            raise ModelFileError(
                f"{kind}:{source}: {pickle.name} is a pickle without a .safetensors file beside it: tenor loads "
                "no pickles, save the model with safetensors first"
            )
    name = hub_id if hub_id is not None else folder.name
    return ModelFolder(folder, name, hub_id, hash_model(kind, folder), _read_finetuned(folder))


def _read_finetuned(folder: Path) -> Finetuned | None:
    path = folder / FINETUNED_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_bytes())
        hashes = record["fitted_split_hash"], record["fitted_ids_hash"]
        if not all(isinstance(each, str) for each in hashes):
            raise TypeError("a hash is no text")
        if not isinstance(record["kept_epoch"], int):
            raise TypeError("the epoch is no number")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelFileError(
            f"{path}: expected what tenor writes there of a fine-tuning, found something else ({error}): fine-tune "
            "again; without this file nobody knows which labels the encoder has seen"
        ) from error
    return Finetuned(*hashes, record["kept_epoch"])


def _download(kind: PretrainedKind, source: str) -> Path:
    if not is_hub_id(source):
        raise UsageError(f"{kind}:{source}: expected a model's folder, found none there: check the path")
    import huggingface_hub

    def find(local_files_only: bool) -> Path:
        folder = huggingface_hub.snapshot_download(
            source,
            allow_patterns=list(_MODEL_PATTERNS),
            ignore_patterns=[f"{name}/*" for name in _IGNORED_FOLDERS],
            local_files_only=local_files_only,
        )
        return Path(folder)

    with contextlib.suppress(OSError, ValueError):  # not in the cache: ask the hub
        return find(local_files_only=True)
    try:
        return find(local_files_only=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{kind}:{source}: no such folder here, and it cannot be had from the Hugging Face hub "
            f"({type(error).__name__}): check the name and the network, or download the model elsewhere "
            f"and give its folder, {kind}:PATH"
        ) from error


def is_hub_id(source: str) -> bool:
    """Whether a text can be an id of the Hugging Face hub, which no absolute path and no ``..`` can."""
    return _HUB_ID.fullmatch(source) is not None and ".." not in source


def hash_model(kind: PretrainedKind, folder: Path) -> str:
    """Hex SHA-256 over the names and contents of a model's files."""
    digest = hashlib.sha256(f"{kind}\n".encode())
    for path in _find_files(folder, _MODEL_PATTERNS):
        digest.update(f"{sha256_file(path)} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files of a model in order of their names: in its folder or in one right below it."""
    found = {path for pattern in patterns for depth in ("", "*/") for path in folder.glob(depth + pattern)}
    kept = (path for path in found if path.parent == folder or path.parent.name not in _IGNORED_FOLDERS)
    return sorted(path for path in kept if path.is_file())
