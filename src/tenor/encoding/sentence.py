"""Sentence vectors of a transformer, through sentence-transformers (extra ``[sentence]``).

Messages longer than the model's own limit are cut by it (all-MiniLM-L6-v2: 256 tokens). Knows nothing of
fitting or of files but the model's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tenor.encoding.pretrained import FloatArray, ModelFolder, PretrainedEncoder, find_model
from tenor.errors import MissingExtraError, ModelFileError

Integers = npt.NDArray[np.int64]

#: On a CPU a batch's activations should stay in its caches: 64 texts of 60 tokens took 1.9 times as long a text.
_CPU_TOKENS = 512
#: So many texts are tokenised together, and cut into batches by the tokens that they have.
_TOKENISED_TOGETHER = 512


def load_sentence(source: str, *, batch_size: int = 64, device: str | None = None) -> PretrainedEncoder:
    """Load a sentence-transformers model.

    Args:
        source: a folder, or an id of the Hugging Face hub such as ``sentence-transformers/all-MiniLM-L6-v2``.
        batch_size: texts of one forward pass, at most; long texts go in smaller batches on a CPU.
        device: such as ``cpu`` or ``cuda:1``; None = the best that this machine has.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        UsageError: no such model.
        ModelFileError: it is none that sentence-transformers reads without running code of its own.
    """
    model, folder = open_sentence_model(source, device=device)
    model.eval()

    def embed(texts: list[str]) -> FloatArray:
        found = _embed_on_cpu(model, texts, batch_size) if model.device.type == "cpu" else None
        if found is None:  # elsewhere, and where nothing is padded, the library's own batches are as good
            found = model.encode(texts, batch_size=batch_size, show_progress_bar=False)
        return found

    size = embed(["."]).shape[1]
    return PretrainedEncoder(
        "sentence", folder.name, folder.hub_id, folder.hash, size, embed, folder.finetuned
    )


def _embed_on_cpu(model: Any, texts: list[str], batch_size: int) -> FloatArray | None:  # noqa: ANN401
    """(N, F) float32 in batches of about as many tokens each; None if the model's texts are not padded to batches."""
    import torch

    order = np.argsort([-len(text) for text in texts], kind="stable")
    prompt = model.prompts.get(model.default_prompt_name)
    found, places = [], []
    with torch.inference_mode():
        for start in range(0, len(order), _TOKENISED_TOGETHER):
            chunk = order[start : start + _TOKENISED_TOGETHER]
            features = model.preprocess([texts[index] for index in chunk], prompt=prompt)
            mask = features.get("attention_mask")
            if mask is None or len(mask) != len(chunk):
                return None
            for rows in cut_by_tokens(mask.sum(dim=1).numpy(), batch_size, _CPU_TOKENS):
                vectors = model(_take_rows(features, rows))["sentence_embedding"]
                found.append(vectors[:, : model.truncate_dim].float().numpy())
                places.append(chunk[rows])
    return np.concatenate(found)[np.argsort(np.concatenate(places))]


def _take_rows(features: dict[str, Any], rows: Integers) -> dict[str, Any]:
    """The features of some texts, without the columns in which all of them are padded."""
    mask = features["attention_mask"]
    used = mask[rows].any(dim=0)
    return {
        name: value[rows][:, used] if getattr(value, "shape", None) == mask.shape else value
        for name, value in features.items()
    }


def cut_by_tokens(lengths: Integers, batch_size: int, max_tokens: int) -> list[Integers]:
    """The places of texts, the longest first, cut into batches of at most so many texts and padded tokens.

    Args:
        lengths: (N,) tokens of each text; one longer than `max_tokens` is a batch by itself.
        batch_size: texts a batch, at most.
        max_tokens: texts times the longest of them, at most.
    """
    order = np.argsort(-lengths, kind="stable")
    parts, start = [], 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + min(batch_size, max(1, max_tokens // longest))
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
        raise ModelFileError(
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
