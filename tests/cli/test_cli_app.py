"""The command as a whole: help, versions, exit codes, and errors of one line."""

from __future__ import annotations

import inspect
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenor import __version__
from tenor.cli import train
from tenor.cli.app import COMMANDS, main
from tenor.cli.options import parse_numbers, parse_optional
from tenor.corpus.importing import import_corpus

RunCli = Callable[..., Any]
TENOR = [sys.executable, "-m", "tenor"]

JOB = (
    *("import", "encode", "splits", "audit", "train", "tune", "test", "profile", "predict", "compare"),
    *("explain", "report", "inspect", "demo"),
)


def test_help_names_every_command(run_cli: RunCli) -> None:
    done = run_cli("--help")
    assert done.code == 0
    assert done.err == ""
    assert tuple(re.findall(r"^  (\w+)  +\w", done.out.partition("Commands:")[2], re.MULTILINE)) == JOB


@pytest.mark.parametrize("command", JOB)
def test_every_command_s_help_has_an_example_that_parses(run_cli: RunCli, command: str) -> None:
    done = run_cli(command, "--help")
    assert done.code == 0
    examples = re.findall(rf"^ +tenor {command} (.*)$", done.out, re.MULTILINE)
    assert examples
    options = set(re.findall(r"--[a-z][a-z-]*", done.out.partition("Options:")[2].partition("Example")[0]))
    for example in examples:
        assert set(re.findall(r"--[a-z-]+", example)) <= options, example


def test_no_help_line_is_cut_short(run_cli: RunCli) -> None:
    assert "..." not in run_cli("--help").out.partition("Commands:")[2]


def test_version(run_cli: RunCli) -> None:
    assert run_cli("--version").out == f"tenor {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage: tenor"),
        (["nowhere"], "No such command 'nowhere'"),
        (["train", "profile", "data"], "'profile' is not one of 'conversation', 'author'"),
        (["train", "author"], "Missing argument 'DATA'"),
        (["splits"], "Usage: tenor splits"),
        (["import", "a", "b", "--on-error", "ignore"], "'ignore' is not one of 'raise', 'quarantine'"),
        (["import", "a", "b", "--fractions", "most"], "expected numbers with commas between, not 'most'"),
        (["train", "author", "data", "--kernel-sizes", "3,x"], "expected whole numbers with commas between"),
        (["train", "author", "data", "--clip-norm", "x"], "expected a number or none, not 'x'"),
        (["predict", "model", "data"], "Missing option '--output'"),
    ],
)
def test_wrong_usage_exits_2(run_cli: RunCli, arguments: list[str], message: str) -> None:
    done = run_cli(*arguments)
    assert done.code == 2
    assert message in done.out + done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["import", "{missing}", "{dest}"],
        ["encode", "{missing}", "{dest}"],
        ["splits", "{missing}"],
        ["audit", "{missing}"],
        ["train", "author", "{missing}", "--model", "{dest}"],
        ["test", "{missing}", "{missing}"],
        ["profile", "{missing}", "{missing}"],
        ["predict", "{missing}", "{missing}", "--output", "{dest}"],
        ["compare", "{missing}", "{missing}"],
        ["explain", "{missing}", "{missing}", "--id", "x"],
        ["report", "{missing}", "--output", "{dest}"],
        ["inspect", "{missing}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_path_that_is_not_there_is_one_line_and_exit_1(
    run_cli: RunCli, tmp_path: Path, arguments: list[str]
) -> None:
    missing, dest = tmp_path / "missing", tmp_path / "dest"
    done = run_cli(*(part.format(missing=missing, dest=dest) for part in arguments))
    assert done.code == 1
    assert done.out == ""
    assert re.fullmatch(r"error: [^\n]+\n", done.err)
    assert str(missing) in done.err
    assert not dest.exists()


def test_a_wrong_value_is_one_line_and_exit_2(run_cli: RunCli, small_corpus: Path, tmp_path: Path) -> None:
    model = ("--model", tmp_path / "m.pt")
    for arguments, message in (
        (
            ("train", "author", small_corpus, *model, "--threshold", "best"),
            "the threshold rule must be one of",
        ),
        (
            ("train", "author", small_corpus, *model, "--num-heads", "7"),
            "hidden_size: expected a multiple of",
        ),
        (("import", small_corpus, tmp_path / "c", "--column", "who=x"), "expected one of attackers, author,"),
        (("encode", small_corpus, tmp_path / "e", "--encoder", "bert"), "unknown encoder 'bert'"),
    ):
        done = run_cli(*arguments)
        assert (done.code, done.out) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", done.err) and message in done.err
    assert list(tmp_path.iterdir()) == []


def test_an_error_is_one_line_even_where_its_message_has_more(run_cli: RunCli, tmp_path: Path) -> None:
    done = run_cli("inspect", tmp_path / "a\nb\x1b[31m\u202e")
    assert done.code == 1
    assert done.err == f"error: {tmp_path}/a\\nb\\x1b[31m\\u202e: there is no such file or folder\n"


def test_a_real_process_shows_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TENOR, "inspect", str(tmp_path / "missing")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {tmp_path}/missing: there is no such file or folder\n"


def test_a_closed_pipe_is_silent(small_corpus: Path) -> None:
    command = " ".join([*TENOR, "inspect", str(small_corpus), "--json"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""


def test_ctrl_c_exits_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    source, dest = tmp_path / "chats.jsonl", tmp_path / "dest"
    line = '{"conversation_id": "%d", "messages": [{"author": "a", "text": "hello"}]}\n'
    source.write_text("".join(line % index for index in range(500_000)))
    process = subprocess.Popen(
        [*TENOR, "import", str(source), str(dest)],
        stderr=subprocess.PIPE,
        # whoever started the tests in the background made them, and this process, deaf to it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while process.poll() is None and not list(tmp_path.glob(".dest.*")):  # until it writes
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["import", "encode"])
def test_a_command_that_is_ended_leaves_nothing_behind(
    tmp_path: Path, command: str, number: signal.Signals
) -> None:
    """No copy of chats under a hidden name."""
    source, dest = tmp_path / "chats.jsonl", tmp_path / "dest"
    line = '{"conversation_id": "%d", "messages": [{"author": "a", "text": "hello"}]}\n'
    source.write_text("".join(line % index for index in range(50_000)))
    options = [str(source)]
    if command == "encode":
        options = [str(import_corpus(source, tmp_path / "corpus")), "--encoder", "dynamics"]
    before = sorted(tmp_path.iterdir())
    process = subprocess.Popen(
        [*TENOR, command, *options, str(dest), "--no-progress"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - as above
    )
    while process.poll() is None and not list(tmp_path.glob(".dest.*/*")):
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (128 + number, b"", b"")
    assert sorted(tmp_path.iterdir()) == before


def test_the_command_line_leaves_signals_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that calls it keeps its own handlers."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(SystemExit):
        main(["--version"])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    assert capsys.readouterr().out == f"tenor {__version__}\n"


def test_python_m_tenor_is_the_same_command() -> None:
    done = subprocess.run([*TENOR, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"tenor {__version__}\n"


def test_numbers_are_parsed() -> None:
    assert parse_numbers("3,5,7", "--kernel-sizes", int) == (3, 5, 7)
    assert parse_numbers("0.8,0.1,0.1", "--fractions", float) == (0.8, 0.1, 0.1)
    assert parse_optional("none", "--clip-norm") is None
    assert parse_optional("0.5", "--clip-norm") == 0.5
    assert train.parse_pos_weight("none") is None
    assert train.parse_pos_weight("2.5") == 2.5
    assert train.parse_pos_weight("focal") == "focal"


#: Option of the command -> argument of its function, where the names differ.
RENAMED: dict[str, dict[str, str]] = {
    "import": {"column": "columns"},
    "encode": {"model_path": "model_paths"},
    "train": {
        "level": "model_type",
        "data": "dataset_path",
        "model": "model_path",
        "epochs": "num_epochs",
        "tracker": "trackers",
    },
    "predict": {"model": "model_path", "data": "dataset_path"},
    "demo": {},
}
#: Arguments that the command does not offer: objects.
LEFT_OUT = {"import": {"limits"}}
#: Options of the command alone.
OWN_OPTIONS = {
    "train": {"seeds"},
    "encode": {"finetune_encoder", "engine", "workers"},
    "predict": {"engine", "workers"},
}
#: Options whose default differs on purpose: a person watches, a repeatable option has no tuple.
OWN_DEFAULT = {"progress", "columns", "positive", "model_paths", "trackers", "output"}


def find_function(command: str) -> Callable[..., Any]:
    import tenor

    if command == "demo":
        from tenor.demo import run_demo

        return run_demo
    names = {
        "import": "import_corpus",
        "encode": "encode_corpus",
        "train": "train_model",
        "predict": "predict",
    }
    function: Callable[..., Any] = getattr(tenor, names[command])
    return function


def as_option(value: object) -> str:
    """A default as one would type it."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("command", sorted(RENAMED))
def test_the_command_mirrors_the_function(command: str) -> None:
    parameters = inspect.signature(COMMANDS[command].run).parameters
    options = {name: each for name, each in parameters.items() if each.annotation != "typer.Context"}
    arguments = inspect.signature(find_function(command)).parameters
    names = {RENAMED[command].get(name, name): name for name in options}
    assert set(arguments) - LEFT_OUT.get(command, set()) == set(names) - OWN_OPTIONS.get(command, set())
    for name in set(names) - OWN_DEFAULT - OWN_OPTIONS.get(command, set()):
        default, given = arguments[name].default, options[names[name]].default
        if default is not inspect.Parameter.empty:
            assert given == default or given == as_option(default) or str(given) == default, name
