"""Nothing that is handed on tells who wrote what: 1,000 words and 1,000 authors are planted and none is found.

What holds names and texts by its purpose (the corpus, predictions, a report that was asked to show them) is not
looked at here.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from tenor.cli import main
from tenor.corpus.importing import import_corpus
from tenor.encoding.encode import encode_corpus
from tenor.training.checkpoint import RunFolder
from tenor.training.train import train_model

NUM_CONVERSATIONS, AUTHORS_EACH = 334, 3  # 1,002 authors, a message each
SETTINGS: dict[str, Any] = {
    "num_epochs": 2,
    "batch_size": 64,
    "hidden_size": 16,
    "num_layers": 1,
    "num_heads": 2,
    "kernel_sizes": (3,),
    "device": "cpu",
    "progress": False,
    "checkpoint_every_steps": 1,
}


def words() -> list[str]:
    """1,002 words, one a message."""
    return [f"xq{number:05x}vj" for number in range(NUM_CONVERSATIONS * AUTHORS_EACH)]


def authors() -> list[str]:
    """1,002 authors, each in one conversation."""
    return [f"Kz{number:05x}Wp" for number in range(NUM_CONVERSATIONS * AUTHORS_EACH)]


def make_records() -> list[dict[str, Any]]:
    """Conversations of three people, one of whom says a telling word in every third."""
    records = []
    for index in range(NUM_CONVERSATIONS):
        guilty = int(index % 3 == 0)
        messages, labels = [], {}
        for turn in range(AUTHORS_EACH):
            number = index * AUTHORS_EACH + turn
            author, told = authors()[number], "villain" if guilty and turn == 0 else "fine"
            text = f"{told} {words()[number]} today"
            messages.append({"author": author, "text": text, "timestamp": 1e9 + number})
            labels[author] = int(guilty and turn == 0)
        records.append(
            {"conversation_id": f"c{index}", "messages": messages, "label": guilty, "author_labels": labels}
        )
    return records


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def find_any(planted: list[str], data: bytes) -> list[str]:
    """Which of the planted words stand in the bytes, in any case."""
    lower = data.lower()
    return [word for word in planted if word.lower().encode() in lower]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The analyzed corpus of the planted conversations; read-only."""
    folder = tmp_path_factory.mktemp("private")
    import_corpus(write(folder / "source.jsonl", make_records()), folder / "corpus")
    return encode_corpus(
        folder / "corpus", folder / "analyzed", encoder="lsa+dynamics", input_size=24, progress=False
    )


def run_tenor(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, *arguments: object
) -> tuple[int, bytes]:
    """Run ``tenor``; its exit code and all that it printed and logged, DEBUG included."""
    capfd.readouterr()
    caplog.clear()
    with caplog.at_level(logging.DEBUG), pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capfd.readouterr()
    said = out + err + caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    code = caught.value.code
    return (code if isinstance(code, int) else 0), said.encode()


def test_what_is_planted_can_be_found(corpus: Path) -> None:
    data = b"".join(path.read_bytes() for path in corpus.glob("*.arrow"))
    assert len(find_any(words(), data)) == len(words()) == len(set(words())) >= 1000
    assert len(find_any(authors(), data)) == len(authors()) == len(set(authors())) >= 1000


@pytest.mark.parametrize("level", ["conversation", "author"])
def test_fault_42_model_file_history_checkpoints_and_encoder(
    corpus: Path, tmp_path: Path, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunFolder, "clear", lambda folder: None)  # so that the checkpoints can be looked at
    train_model(level, corpus, model_path=tmp_path / "m.pt", prior="lexical", **SETTINGS)
    files = [path for path in tmp_path.rglob("*") if path.is_file()] + [corpus / "encoder.safetensors"]
    names = {path.name for path in files}
    assert {"m.pt", "m.history.jsonl", "config.json", "state.json", "tensors.safetensors"} <= names
    for path in files:
        assert find_any(words() + authors(), path.read_bytes()) == [], path


def test_fault_42_logs_and_metrics(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--epochs", 1, "--hidden-size", 16, "--num-layers", 1, "--num-heads", 2, "--device", "cpu"]
    source, model = tmp_path / "source.jsonl", tmp_path / "author.pt"
    write(source, make_records())
    for arguments in (
        ("import", source, tmp_path / "corpus"),
        ("encode", tmp_path / "corpus", tmp_path / "analyzed", "--input-size", 16),
        ("splits", tmp_path / "analyzed"),
        ("inspect", tmp_path / "analyzed"),
        ("audit", tmp_path / "analyzed"),
        ("train", "author", tmp_path / "analyzed", "--model", model, *options),
        ("inspect", model),
        ("test", model, tmp_path / "analyzed"),
        ("profile", model, tmp_path / "analyzed", "--aggregation", "compare", "--json"),
        ("predict", model, tmp_path / "analyzed", "--output", tmp_path / "p.parquet"),
    ):
        code, said = run_tenor(capfd, caplog, *arguments)
        assert code == 0, said.decode()
        assert said, arguments
        assert find_any(words() + authors(), said) == [], arguments


def break_line(records: list[dict[str, Any]], line: str) -> str:
    """A source whose second line is `line`."""
    return json.dumps(records[0]) + "\n" + line + "\n" + json.dumps(records[2]) + "\n"


def bad_sources() -> dict[str, str]:
    """Sources that cannot be imported: what is wrong -> content."""
    records = make_records()[:3]
    plain = json.dumps(records[1])
    message = records[1]["messages"][0]
    return {
        "cut.jsonl": break_line(records, plain[: len(plain) // 2]),
        "twice.jsonl": break_line(records, json.dumps(records[0])),
        "number.jsonl": break_line(records, json.dumps(records[1] | {"messages": [message | {"text": 3}]})),
        "text.jsonl": break_line(
            records, json.dumps(records[1] | {"label": message["text"], "timestamp": []})
        ),
        "time.jsonl": break_line(
            records, json.dumps(records[1] | {"messages": [message | {"timestamp": message["text"]}]})
        ),
        "nan.jsonl": break_line(records, plain.replace("1000000003.0", "NaN")),
        "quote.csv": f'conversation_id,author,text\nc1,ann,"{message["text"]}\n',
        "wide.csv": f"conversation_id,author,text\nc1,ann,{message['text']},{message['text']}\n",
    }


def test_fault_39_failed_imports_show_no_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, content in bad_sources().items():
        source = tmp_path / name
        source.write_text(content)
        code, said = run_tenor(capfd, caplog, "import", source, tmp_path / "corpus")
        assert (code, said[:7]) == (1, b"error: "), name
        assert find_any(words(), said) == [], name
        quarantine = ("--on-error", "quarantine")
        run_tenor(capfd, caplog, "import", source, tmp_path / f"{name}-corpus", *quarantine)
        for rejects in tmp_path.rglob("rejects.jsonl"):
            assert find_any(words(), rejects.read_bytes()) == [], name


def damage(corpus: Path, dest: Path) -> Path:
    """A copy of the corpus with a byte of its data changed in the middle."""
    shutil.copytree(corpus, dest)
    file = next(iter(sorted(dest.glob("*.arrow"))))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    return dest


def test_fault_39_failures_of_every_command_show_no_text(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    model, bare = tmp_path / "m.pt", corpus.with_name("corpus")
    train_model("author", corpus, model_path=model, **SETTINGS | {"prior": "lexical", "num_epochs": 1})
    small = "--hidden-size 16 --num-layers 1 --num-heads 2 --device cpu --epochs 1".split()
    train = ("train", "author", corpus, "--model", tmp_path / "other.pt", *small)
    one_class = write(tmp_path / "one.jsonl", [record | {"label": 1} for record in make_records()])
    import_corpus(one_class, tmp_path / "one")
    encode_corpus(tmp_path / "one", tmp_path / "one-analyzed", input_size=8, progress=False)
    without_text = encode_corpus(bare, tmp_path / "mute", input_size=24, keep_text=False, progress=False)
    damaged = damage(corpus, tmp_path / "damaged")
    with RunFolder(tmp_path / "other.run").locked():
        assert_silent(capfd, caplog, *train)
    for arguments in (
        (*train, "--learning-rate", "1e12"),
        ("train", "conversation", tmp_path / "one-analyzed", "--model", tmp_path / "other.pt"),
        ("train", "author", without_text, "--model", tmp_path / "other.pt", "--prior", "lexical"),
        ("train", "author", damaged, "--model", tmp_path / "other.pt", *small),
        ("train", "author", bare, "--model", tmp_path / "other.pt"),
        ("test", model, damaged),
        ("test", model, bare),
        ("predict", model, without_text, "--output", tmp_path / "p.parquet"),
        ("predict", model, tmp_path / "one-analyzed", "--output", tmp_path / "p.parquet"),
        ("predict", corpus / "encoder.safetensors", corpus, "--output", tmp_path / "p.parquet"),
        ("predict", model, corpus, "--output", model / "p.parquet"),
        ("encode", without_text, tmp_path / "again"),
        ("encode", bare, corpus),
        ("encode", damaged, tmp_path / "again"),
        ("encode", bare, tmp_path / "again", "--input-size", 0),
    ):
        assert_silent(capfd, caplog, *arguments)


def assert_silent(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, *arguments: object
) -> None:
    """The command fails with one line, and neither it nor any log shows a planted word."""
    code, said = run_tenor(capfd, caplog, *arguments)
    assert code == (2 if "--input-size" in arguments else 1), (arguments, said[:500])
    assert b"error: " in said and b"Traceback" not in said, arguments
    assert find_any(words(), said) == [], arguments
