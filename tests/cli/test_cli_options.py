"""Options that would have no effect: refused where the user gave one, never dropped in silence."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenor.corpus.corpus import open_corpus

RunCli = Callable[..., Any]

ENCODE = ("encode", "in", "{dest}")
TRAIN = ("train", "author", "data", "--model", "{dest}")
TEST = ("test", "m.pt", "data")
PREDICT = ("predict", "m.pt", "data", "--output", "{dest}")
PROFILE = ("profile", "m.pt", "data")
EXPLAIN = ("explain", "m.pt", "data")
REPORT = ("report", "m.pt", "--output", "{dest}")
RAY = ("--engine", "ray")


@pytest.mark.parametrize(
    ("arguments", "options", "where"),
    [
        (ENCODE, "--workers 2", "without the engine ray"),
        ((*ENCODE, *RAY), "--input-size 256", "with the engine ray"),
        ((*ENCODE, *RAY), "--seed 0", "with the engine ray"),
        ((*ENCODE, *RAY), "--batch-size 64", "with the engine ray"),
        ((*ENCODE, *RAY), "--replace", "with the engine ray"),
        ((*ENCODE, *RAY), "--update", "with the engine ray"),
        ((*ENCODE, "--update"), "--encoder lsa", "with --update"),
        ((*ENCODE, "--update"), "--input-size 256", "with --update"),
        ((*ENCODE, "--update"), "--seed 0", "with --update"),
        ((*ENCODE, "--update"), "--dtype float16", "with --update"),
        ((*ENCODE, "--update"), "--no-keep-text", "with --update"),
        ((*ENCODE, "--update"), "--replace", "with --update"),
        ((*ENCODE, "--encoder", "like:x"), "--input-size 256", "with like:x"),
        ((*ENCODE, "--encoder", "like:x"), "--seed 0", "with like:x"),
        (ENCODE, "--model-path x", "without like:CORPUS or --update"),
        ((*ENCODE, "--encoder", "dynamics"), "--input-size 8", "without lsa"),
        ((*ENCODE, "--encoder", "static:x"), "--seed 1", "without lsa"),
        (ENCODE, "--batch-size 64", "without a sentence encoder"),
        (ENCODE, "--device cpu", "without a sentence encoder"),
        (("import", "in", "{dest}", "--append"), "--replace", "with --append"),
        ((*TEST, "data"), "--baselines", "with several models"),
        ((*TEST, "data"), "--abstain-alpha 0.1", "with several models"),
        ((*TEST, "data"), "--fit-characters 16000000", "with several models"),
        ((*TEST, "--no-baselines"), "--fit-characters 9", "without baselines"),
        (TRAIN, "--beta 0.9", "without --pos-weight effective"),
        (TRAIN, "--gamma 1", "without --pos-weight focal"),
        (TRAIN, "--warmup-fraction 0.2", "without --scheduler cosine"),
        ((*TRAIN, "--prior", "none"), "--context own", "with --prior none"),
        ((*TRAIN, "--prior", "none"), "--fit-characters 9", "with --prior none"),
        (("train", "conversation", "data"), "--context own", "at level conversation"),
        (PREDICT, "--workers 2", "without the engine ray"),
        ((*PREDICT, *RAY), "--calibrate", "with the engine ray"),
        ((*PREDICT, *RAY), "--threshold f1", "with the engine ray"),
        ((*PREDICT, *RAY), "--abstain-alpha 0.1", "with the engine ray"),
        ((*PREDICT, *RAY), "--validation x", "with the engine ray"),
        ((*PREDICT, *RAY), "--update x", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--no-baselines", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--threshold f1", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--abstain-alpha 0.1", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--seed 0", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--predictions x", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--out-of-fold 3", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--device cpu", "with the engine ray"),
        ((*PROFILE, *RAY, "-o", "{dest}"), "--json", "with the engine ray"),
        ((*EXPLAIN, "--author", "a"), "--method leave_one_out", "on a profile"),
        ((*EXPLAIN, "--author", "a"), "--with-text", "on a profile"),
        ((*EXPLAIN, "--author", "a"), "--with-names", "on a profile"),
        ((*EXPLAIN, "--id", "c"), "--aggregation mean", "with --id"),
        ((*EXPLAIN, "--id", "c"), "--split test", "with --id"),
        (REPORT, "--license mit", "without --card"),
        (REPORT, "--with-text", "without --data"),
        (REPORT, "--device cpu", "without --data"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else value,
)
def test_an_option_without_effect_is_refused(
    run_cli: RunCli, tmp_path: Path, arguments: tuple[str, ...], options: str, where: str
) -> None:
    done = run_cli(*(part.format(dest=tmp_path / "dest") for part in arguments), *options.split())
    assert (done.code, done.out) == (2, "")
    flag = options.split()[0]
    assert re.fullmatch(rf"error: {flag} has no effect {re.escape(where)}[^\n]*: leave it out\n", done.err)
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_model_s_card_pass(run_cli: RunCli, tmp_path: Path) -> None:
    defaults = "--beta 0.999 --gamma 2.0 --warmup-fraction 0.1 --context conversation".split()
    done = run_cli("train", "conversation", tmp_path / "data", *defaults, "--prior", "none")
    assert (done.code, "expected a corpus folder" in done.err) == (1, True)


def test_several_are_named_together(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("encode", "in", tmp_path / "x", "--update", "--seed", "1", "--encoder", "lsa")
    assert done.err == (
        "error: --encoder and --seed have no effect with --update, which keeps DEST as it was made: leave them out\n"
    )


def test_a_device_that_is_not_there_is_refused(run_cli: RunCli, small_corpus: Path, tmp_path: Path) -> None:
    """It is said before a model is looked for, and by every command in one line."""
    for device, message in (
        ("gpu", "device: expected one such as cpu, cuda or cuda:1, found 'gpu'"),
        ("meta", "device 'meta' asked for, but torch sees no such device here (use cpu"),
    ):
        encode = ("encode", small_corpus, tmp_path / "x", "--encoder", "sentence:nowhere/at/all")
        train = ("train", "author", small_corpus, "--model", tmp_path / "m.pt", "--no-progress")
        for arguments in (encode, train):
            done = run_cli(*arguments, "--device", device)
            assert (done.code, done.out) == (2, "")
            assert done.err.startswith(f"error: {message}") and done.err.count("\n") == 1


def test_a_plan_that_is_the_default_is_no_less_asked_for(
    run_cli: RunCli, small_source: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more.jsonl"
    more.write_text(small_source.read_text().replace('"conversation-', '"later-'))
    corpus, copy = tmp_path / "corpus", tmp_path / "copy"
    assert run_cli("import", small_source, corpus, "--seed", "7", "--no-progress").code == 0
    done = run_cli("import", more, corpus, "--append", "--seed", "0")
    assert done.code == 2
    assert (
        "expected the corpus's own split plan (fractions 0.7,0.1,0.2, seed 7), found fractions 0.7,0.1,0.2, seed 0:"
        in done.err
    )
    done = run_cli("import", corpus, copy, "--fractions", "0.7,0.1,0.2")
    assert done.code == 2 and "keeps its splits, made by fractions 0.7,0.1,0.2, seed 7; asked" in done.err
    assert not copy.exists()
    for options in ((), ("--seed", "7")):
        assert run_cli("import", more, corpus, "--append", *options, "--no-progress").code == (
            1 if options else 0
        )
    assert run_cli("import", corpus, copy, "--no-progress").code == 0
    assert open_corpus(copy).info.split.seed == 7 and len(open_corpus(copy)) == 160
