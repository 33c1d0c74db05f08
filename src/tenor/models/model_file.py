"""One file for a trained model: weights, scaling, lexical prior and metadata, and nothing that could run.

What a file may contain is decided in ``metadata`` (JSON) and ``tensor_file`` (container); here they meet the
classes. Importing this module and reading metadata needs no torch.
Knows nothing of training or of corpora.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tenor.errors import ModelFileError, UsageError
from tenor.files import require_replaceable
from tenor.models.metadata import MODEL_FORMAT_VERSION, list_names, parse_metadata
from tenor.models.metadata import ModelMetadata as ModelMetadata
from tenor.models.tensor_file import (
    Array,
    TensorFile,
    is_tensor_file,
    open_tensor_file,
    write_tensor_file,
)

if TYPE_CHECKING:
    from tenor.lexical import LexicalPrior
    from tenor.models.sequence import SequenceClassifier

_LEXICAL = "lexical."  # prefix of the prior's tensors


@dataclass(frozen=True)
class LoadedModel:
    """What a model file holds.

    Attributes:
        model: in evaluation mode, on CPU, float32.
        metadata: what the file says of it.
        lexical: the model whose logits are its prior; None when it has none.
    """

    model: SequenceClassifier
    metadata: ModelMetadata
    lexical: LexicalPrior | None = None


def find_model_path(model_path: str | Path | None, level: str) -> Path:
    """Where a model is to be written: the file asked for, or ``models/<level>_classifier.pt``.

    Raises:
        UsageError, StorageError: as require_replaceable.
        ModelFileError: a file there cannot be read.
    """
    path = Path("models") / f"{level}_classifier.pt" if model_path is None else model_path
    return require_replaceable(path, "model_path", "a model", is_tensor_file)


def save_model(
    path: str | Path,
    model: SequenceClassifier,
    metadata: ModelMetadata,
    *,
    lexical: LexicalPrior | None = None,
) -> Path:
    """Write a model file; the same model and metadata give the same bytes.

    Args:
        path: any name (``.pt`` too); the content is always safetensors. Replaced at once and whole.
        model: on any device; weights of at most 32 bits, finite.
        metadata: its `config` must be the model's.
        lexical: the model of the prior, for a model with has_prior.

    Returns:
        The path.

    Raises:
        ModelFileError: weights that are not finite or too wide, metadata unfit for the model or the format.
        StorageError: the file cannot be written; an older one is untouched.
    """
    path = Path(path)
    if metadata.config != model.config():
        raise ModelFileError(f"{path}: metadata.config is not the model's config, not written")
    arrays = _model_arrays(path, model)
    if lexical is not None:
        _check_lexical(path, lexical, model)
        arrays.update({_LEXICAL + name: np.asarray(array) for name, array in lexical.to_tensors().items()})
    write_tensor_file(path, arrays, metadata.to_json())
    return path


def read_metadata(path: str | Path) -> ModelMetadata:
    """What a model file says of itself, after its checksum was checked; imports no torch.

    Raises:
        ModelFileError: not a whole model file of this format.
    """
    return _open_model_file(path)[1]


def load_model(path: str | Path) -> LoadedModel:
    """Read a model file.

    Raises:
        ModelFileError: not a whole model file of this format; the message lists what is missing, unknown,
            misshapen or not finite. Nothing in the file is ever executed.
    """
    import torch

    file, metadata = _open_model_file(path)
    model = _build_empty(metadata)
    _check_shapes(file, {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    arrays = file.read()
    tensors = {
        name: torch.from_numpy(array) for name, array in arrays.items() if not name.startswith(_LEXICAL)
    }
    if bool((tensors["feature_std"] <= 0).any()):
        raise ModelFileError(f"{file.path}: feature_std must be above 0")
    model.load_state_dict(tensors, assign=True)
    lexical = {
        name.removeprefix(_LEXICAL): array for name, array in arrays.items() if name.startswith(_LEXICAL)
    }
    return LoadedModel(model.eval(), metadata, _load_lexical(file.path, lexical, model) if lexical else None)


def _open_model_file(path: str | Path) -> tuple[TensorFile, ModelMetadata]:
    file = open_tensor_file(path, MODEL_FORMAT_VERSION)
    try:
        return file, parse_metadata(file.metadata)
    except ModelFileError as error:
        raise ModelFileError(f"{file.path}: {error}") from error


def _build_empty(metadata: ModelMetadata) -> SequenceClassifier:
    """The model without memory for its weights: nothing is allocated before the file is checked."""
    import torch

    from tenor.models.sequence import SequenceClassifier

    with torch.device("meta"):
        return SequenceClassifier(**metadata.config)


def _check_shapes(file: TensorFile, expected: dict[str, tuple[int, ...]]) -> None:
    found = {name: spec for name, spec in file.specs.items() if not name.startswith(_LEXICAL)}
    misshapen = [
        f"{name} {found[name].dtype} {found[name].shape} instead of float32 {shape}"
        for name, shape in expected.items()
        if name in found and (found[name].shape != shape or found[name].dtype != np.float32)
    ]
    problems = [
        f"{kind}: {list_names(names)}"
        for kind, names in (
            ("missing", sorted(expected.keys() - found.keys())),
            ("unknown", sorted(found.keys() - expected.keys())),
            ("misshapen", misshapen),
        )
        if names
    ]
    if problems:
        raise ModelFileError(f"{file.path}: the tensors are not those of the config: {'; '.join(problems)}")


def _model_arrays(path: Path, model: SequenceClassifier) -> dict[str, Array]:
    import torch

    arrays: dict[str, Array] = {}
    for name, tensor in model.state_dict().items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ModelFileError(
                f"{path}: {name} is {tensor.dtype}: weights are kept in float32, not written"
            )
        arrays[name] = tensor.detach().to("cpu", torch.float32).numpy()
    return arrays


def _load_lexical(path: Path, arrays: dict[str, Array], model: SequenceClassifier) -> LexicalPrior:
    from tenor.lexical import LexicalPrior

    try:
        lexical = LexicalPrior.from_tensors(arrays)
    except UsageError as error:
        raise ModelFileError(f"{path}: the lexical prior: {error}") from error
    _check_lexical(path, lexical, model)
    return lexical


def _check_lexical(path: Path, lexical: LexicalPrior, model: SequenceClassifier) -> None:
    if not model.has_prior:
        raise ModelFileError(f"{path}: there is a lexical prior, but config.has_prior is false")
    outputs = 1 if model.num_classes == 2 else model.num_classes
    if lexical.num_outputs != outputs:
        raise ModelFileError(
            f"{path}: the lexical prior has {lexical.num_outputs} outputs, the model {outputs}"
        )
