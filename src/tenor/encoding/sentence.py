"""Sentence vectors of a transformer, through sentence-transformers (extra ``[sentence]``).

Messages longer than the model's own limit are cut by it (all-MiniLM-L6-v2: 256 tokens). Knows nothing of
fitting or of files but the model's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tenor.encoding.pretrained import FloatArray, ModelFolder, PretrainedEncoder, VectorCache, find_model
from tenor.errors import MissingExtraError, UsageError


def load_sentence(source: str, *, batch_size: int = 64, device: str | None = None) -> PretrainedEncoder:
    """Load a sentence-transformers model.

    Args:
        source: a folder, or an id of the Hugging Face hub such as ``sentence-transformers/all-MiniLM-L6-v2``.
        batch_size: texts of one forward pass.
        device: such as ``cpu`` or ``cuda:1``; None = the best that this machine has.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        UsageError: no such model, or none that sentence-transformers reads without running code of its own.
    """
    model, folder = open_sentence_model(source, device=device)
    model.eval()

    def embed(texts: list[str]) -> FloatArray:
        vectors = model.encode(texts, batch_size=batch_size, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, dtype=np.float32)

    size = embed(["."]).shape[1]
    return PretrainedEncoder(
        "sentence", folder.name, folder.hub_id, folder.hash, size, embed, VectorCache(size), folder.finetuned
    )


def open_sentence_model(source: str, *, device: str | None = None) -> tuple[Any, ModelFolder]:
    """The library's own model, and where it lies; see load_sentence for arguments and errors."""
    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingExtraError("sentence", "sentence-transformers") from error
    folder = find_model("sentence", source)
    return _load_model(sentence_transformers, folder, source, device), folder


def _load_model(library: Any, folder: ModelFolder, source: str, device: str | None) -> Any:  # noqa: ANN401
    try:
        with without_progress_bars():
            return library.SentenceTransformer(
                str(folder.path),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True},
            )
    except Exception as error:  # whatever the libraries say of files that they cannot read
        raise UsageError(
            f"sentence:{source}: sentence-transformers cannot read this folder ({type(error).__name__}): "
            "expected modules.json, tokenizer and .safetensors as SentenceTransformer.save writes them, and "
            "no code of its own"
        ) from error


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Loading and saving weights take a moment and no bar of transformers; its setting is put back afterwards."""
    from transformers.utils import logging as settings

    was_enabled = settings.is_progress_bar_enabled()
    settings.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if was_enabled:
            settings.enable_progress_bar()  # type: ignore[no-untyped-call]
