"""Training on two machines: each reads its own rows only; losing one ends all, and the run goes on after it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tenor.corpus.corpus import open_corpus
from tenor.training.checkpoint import RunFolder

Launch = Callable[..., list[Any]]
SETTINGS = (
    "--epochs 2 --batch-size 16 --micro-batch-messages 24 --hidden-size 16 --num-layers 1 --num-heads 2 "
    "--kernel-sizes 3 --prior none --dropout 0 --device cpu --no-progress"
).split()
WORKER, COUNTING = (Path(__file__).with_name(name) for name in ("worker.py", "counting.py"))


def train(corpus: Path, model: Path, *more: object) -> list[str]:
    return ["train", "conversation", str(corpus), "--model", str(model), *SETTINGS, *map(str, more)]


def read_rows(path: Path, count: int) -> list[list[int]]:
    return [json.loads(Path(f"{path}.{rank}").read_text()) for rank in range(count)]


def test_each_process_reads_its_own_rows_only(small_corpus: Path, launch: Launch, tmp_path: Path) -> None:
    read: dict[int, list[list[int]]] = {}
    for count in (1, 2):
        counts = tmp_path / f"rows-{count}"
        workers = launch(
            *train(small_corpus, tmp_path / f"{count}.pt"),
            count=count,
            script=COUNTING.name,
            environment={"TENOR_COUNTS": str(counts)},
        )
        assert [each.wait() for each in workers] == [0] * count, workers[0].err
        read[count] = read_rows(counts, count)
    one, two = read[1][0], read[2][0] + read[2][1]
    assert Counter(one) == Counter(two)  # together they read what one reads, each message as often
    assert max(map(len, read[2])) < 0.75 * len(one)  # and shares it, as far as so few can be shared
    assert len(set(one)) < open_corpus(small_corpus).num_messages  # nobody reads test


ADDRESSES = ("10.213.77.1", "10.213.77.2")


@pytest.fixture
def two_namespaces() -> Iterator[list[list[str]]]:
    """The commands that run others in two network namespaces joined by one cable."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip(
            "two network namespaces need root and iproute2: the processes on loopback are tested elsewhere"
        )
    names = [f"tenor-{os.getpid()}-{number}" for number in range(2)]
    cables = [f"tn{os.getpid() % 100000}a", f"tn{os.getpid() % 100000}b"]

    def ip(*arguments: str, check: bool = True) -> None:
        subprocess.run(["ip", *arguments], check=check, capture_output=True)

    with contextlib.ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name, check=False)
            ip(
                "link",
                "add",
                cables[0],
                "netns",
                names[0],
                "type",
                "veth",
                "peer",
                cables[1],
                "netns",
                names[1],
            )
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
        for name, cable, address in zip(names, cables, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", cable)
            ip("-n", name, "link", "set", cable, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield [
            ["ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={cable}", f"TP_SOCKET_IFNAME={cable}"]
            for name, cable in zip(names, cables, strict=True)
        ]


def run_on_both(machines: list[list[str]], command: list[str], fault: str = "") -> list[tuple[int, str]]:
    """One torchrun a machine, together; exit codes and what they said."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TENOR_FAULT": fault}
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    started = [
        subprocess.Popen(
            [*machine, torchrun, "--nnodes", "2", "--node-rank", str(rank), "--nproc-per-node", "1",
             "--master-addr", ADDRESSES[0], "--master-port", "29511", str(WORKER), *command],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank, machine in enumerate(machines)
    ]  # fmt: skip
    printed = [each.communicate(timeout=180)[0] for each in started]
    return [(each.returncode, text) for each, text in zip(started, printed, strict=True)]


@pytest.mark.long
def test_two_machines_train_the_weights_of_one_though_one_is_lost(
    small_corpus: Path, two_namespaces: list[list[str]], launch: Launch, tmp_path: Path
) -> None:
    (alone,) = launch(*train(small_corpus, tmp_path / "one.pt"))
    assert alone.wait() == 0, alone.err
    command = train(small_corpus, tmp_path / "two.pt", "--checkpoint-every-steps", 1)
    lost = run_on_both(two_namespaces, command, fault="kill:3@1")
    assert all(code != 0 for code, _ in lost)
    assert "another process of this run has ended" in lost[0][1]  # the machine that was left says why
    assert "SIGKILL" in lost[1][1]
    checkpoint = RunFolder(tmp_path / "two.run").load()
    assert checkpoint is not None
    assert checkpoint.step in (2, 3)
    done = run_on_both(two_namespaces, [*command, "--resume"])
    assert [code for code, _ in done] == [0, 0], done
    one, two = load_file(tmp_path / "one.pt"), load_file(tmp_path / "two.pt")
    for name, tensor in one.items():
        np.testing.assert_allclose(two[name], tensor, rtol=1e-5, atol=1e-6)
