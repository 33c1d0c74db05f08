"""Corpora at the edge of what can be learned from train all the same, and the output says how little it means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

RunCli = Callable[..., Any]

CHARACTERS = "今天气很好我们去公园玩吧你喜欢吃什么东西他说不知道为这样"


def say_without_spaces(label: int, turn: int, generator: np.random.Generator) -> str:
    text = "".join(generator.choice(list(CHARACTERS), size=10))
    return text + "骗子快把钱转给我" if label and turn == 1 else text


def say_mostly_nothing(label: int, turn: int, generator: np.random.Generator) -> str:
    return "" if turn else ("bad pay now" if label else "hello there")


def say_little(label: int, turn: int, generator: np.random.Generator) -> str:
    return f"{'pay me now' if label else 'nice day'} {generator.choice(list('xyz'))}"


@pytest.mark.parametrize(
    ("say", "conversations", "messages"),
    [(say_without_spaces, 90, 4), (say_mostly_nothing, 90, 4), (say_little, 90, 1), (say_little, 30, 4)],
    ids=["a language without spaces", "empty texts", "one message each", "30 conversations"],
)
def test_it_trains_and_says_how_little_the_numbers_mean(
    run_cli: RunCli,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    say: Callable[..., str],
    conversations: int,
    messages: int,
) -> None:
    generator = np.random.default_rng(0)
    records = [
        {
            "conversation_id": f"c{index}",
            "messages": [
                {"author": f"{index}-{turn % 2}", "text": say(index % 2, turn, generator)}
                for turn in range(messages)
            ],
            "label": index % 2,
        }
        for index in range(conversations)
    ]
    source, model = tmp_path / "chats.jsonl", tmp_path / "m.safetensors"
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    corpus, analyzed = tmp_path / "corpus", tmp_path / "analyzed"
    small = ("--hidden-size", "16", "--epochs", "2", "--device", "cpu", "--copies", "ignore", "--no-progress")
    assert run_cli("import", source, corpus, "--no-progress").code == 0
    encode = ("--encoder", "lsa+dynamics", "--input-size", "16", "--no-progress")
    assert run_cli("encode", corpus, analyzed, *encode).code == 0
    trained = run_cli("train", "conversation", analyzed, "--model", model, *small)
    assert trained.code == 0, trained
    assert "validation has only" in caplog.text
    done = run_cli("test", model, analyzed, "--no-progress", "--json", "--device", "cpu")
    assert done.code == 0, done
    found = json.loads(done.out)
    assert found["roc_auc"] > 0.9
    assert "fewer than 30" in found["intervals"]["roc_auc"]["warning"]
