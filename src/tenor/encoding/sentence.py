"""Sentence vectors of a transformer, through sentence-transformers (extra ``[sentence]``).

Messages longer than the model's own limit are cut by it (all-MiniLM-L6-v2: 256 tokens). Knows nothing of
fitting or of files but the model's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.encoding.pretrained import FloatArray, ModelFolder, PretrainedEncoder, find_model
from tenor.errors import MissingExtraError, UsageError

#: On a CPU a batch's activations should stay in its caches: 64 texts of 60 tokens took 1.9 times as long a text.
_CPU_TOKENS = 512
#: As a text's tokens are guessed: about what English has, and one token at either end.
_CHARACTERS_A_TOKEN, _ADDED_TOKENS = 4, 2


def load_sentence(source: str, *, batch_size: int = 64, device: str | None = None) -> PretrainedEncoder:
    """Load a sentence-transformers model.

    Args:
        source: a folder, or an id of the Hugging Face hub such as ``sentence-transformers/all-MiniLM-L6-v2``.
        batch_size: texts of one forward pass, at most; long texts go in smaller batches on a CPU.
        device: such as ``cpu`` or ``cuda:1``; None = the best that this machine has.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        UsageError: no such model, or none that sentence-transformers reads without running code of its own.
    """
    model, folder = open_sentence_model(source, device=device)
    model.eval()

    tokens = _CPU_TOKENS if model.device.type == "cpu" else None

    def embed(texts: list[str]) -> FloatArray:
        parts = cut_by_length(texts, batch_size, tokens)
        found = [
            model.encode([texts[i] for i in part], batch_size=batch_size, show_progress_bar=False)
            for part in parts
        ]
        vectors = np.empty((len(texts), found[0].shape[1]), np.float32)
        vectors[np.concatenate(parts)] = np.concatenate(found)
        return vectors

    size = embed(["."]).shape[1]
    return PretrainedEncoder(
        "sentence", folder.name, folder.hub_id, folder.hash, size, embed, folder.finetuned
    )


def cut_by_length(texts: Sequence[str], batch_size: int, tokens: int | None) -> list[npt.NDArray[np.int64]]:
    """The places of texts, the longest first, cut into batches of at most so many texts and tokens.

    Tokens, those of padding too, are guessed from characters; a text is never cut. Without a bound on tokens all
    are one part, which the library itself sorts and cuts.
    """
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(-lengths, kind="stable")
    if tokens is None:
        return [order]
    parts, start = [], 0
    while start < len(order):
        longest = lengths[order[start]] / _CHARACTERS_A_TOKEN + _ADDED_TOKENS
        stop = start + min(batch_size, max(1, int(tokens / longest)))
        parts.append(order[start:stop])
        start = stop
    return parts


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
