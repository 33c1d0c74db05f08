"""Static word vectors, averaged over a message's tokens, through model2vec (extra ``[static]``).

Small and fast models distilled from sentence encoders. Knows nothing of fitting or of files but the model's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tenor.encoding.pretrained import FloatArray, ModelFolder, PretrainedEncoder, find_model
from tenor.errors import MissingExtraError, ModelFileError


def load_static(source: str) -> PretrainedEncoder:
    """Load a model2vec model.

    Args:
        source: a folder, or an id of the Hugging Face hub such as ``minishlab/potion-base-8M``.

    Raises:
        MissingExtraError: model2vec is not installed.
        UsageError: no such model.
        ModelFileError: it is none that model2vec reads.
    """
    try:
        import model2vec
    except ImportError as error:
        raise MissingExtraError("static", "model2vec") from error
    folder = find_model("static", source)
    model = _load_model(model2vec, folder, source)

    def embed(texts: list[str]) -> FloatArray:
        vectors = model.encode(texts, use_multiprocessing=False)
        return np.asarray(vectors, dtype=np.float32)

    return PretrainedEncoder("static", folder.name, folder.hub_id, folder.hash, int(model.dim), embed)


def _load_model(model2vec: Any, folder: ModelFolder, source: str) -> Any:  # noqa: ANN401
    try:
        return model2vec.StaticModel.from_pretrained(folder.path)
    except Exception as error:  # whatever the library says of files that it cannot read
        raise ModelFileError(
            f"static:{source}: model2vec cannot read this folder ({type(error).__name__}): expected "
            "config.json, tokenizer.json and model.safetensors as StaticModel.save_pretrained writes them"
        ) from error
