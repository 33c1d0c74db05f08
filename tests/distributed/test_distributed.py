"""Shards on a local Ray with two workers, one of which is killed: each id once, the numbers of one process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'tenor[ray]'")

from tenor.corpus.corpus import open_corpus  # noqa: E402
from tenor.corpus.importing import import_corpus  # noqa: E402
from tenor.distributed import (  # noqa: E402
    encode_shards,
    predict_shards,
    profile_shards,
)
from tenor.distributed.shards import ShardFolder, corpus_to_table, make_mark  # noqa: E402
from tenor.encoding.encode import encode_corpus  # noqa: E402
from tenor.errors import CorpusError, InputError, SplitError, UsageError  # noqa: E402
from tenor.evaluation import predict, profile_predictions  # noqa: E402
from tenor.models.model_file import read_metadata  # noqa: E402
from tenor.predictions import Predictions, concatenate_predictions, read_predictions  # noqa: E402
from tenor.synthetic import SyntheticPlan, generate_conversations, to_record, write_jsonl  # noqa: E402
from tenor.training.train import train_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own

PLAN = SyntheticPlan(conversations=120, messages=5, conversations_per_author=8, guilty_every=3, seed=2)
SHARDS = 12


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray of this test's own, with two workers."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, the same analyzed, an author model, and the conversations as raw Parquet shards."""
    folder = tmp_path_factory.mktemp("job")
    rows = list(generate_conversations(PLAN))
    import_corpus(write_jsonl(rows, folder / "chats.jsonl"), folder / "corpus", seed=3)
    encode_corpus(
        folder / "corpus", folder / "analyzed", input_size=24, encoder="lsa+dynamics", progress=False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenor.training.profiles.FEWEST", 2)  # so that the model has an aggregation
        train_model(
            "author", folder / "analyzed", 1, model_path=folder / "author.pt", hidden_size=16, num_layers=1,
            num_heads=2, kernel_sizes=(3,), device="cpu", progress=False, copies="ignore",
        )  # fmt: skip
    (folder / "raw").mkdir()
    for number in range(SHARDS):
        records = [to_record(row) for row in rows[number::SHARDS]]
        for record in records:
            record["author_labels"] = list(record["author_labels"].items())
        lists = {
            "conversation_id": [record["conversation_id"] for record in records],
            "messages": [record["messages"] for record in records],
            "label": [record["label"] for record in records],
            "author_labels": pa.array(
                [record["author_labels"] for record in records], pa.map_(pa.string(), pa.int64())
            ),
        }
        pq.write_table(pa.table(lists), folder / "raw" / f"part-{number:05d}.parquet")
    return folder


def kill_one_worker(folder: Path, killed: list[int]) -> None:
    """Kill the process of one actor as soon as the folder holds a shard; it is looked for before that takes place."""
    deadline, worker = time.monotonic() + 120, None
    while time.monotonic() < deadline and not killed:
        if worker is None or not worker.is_running():
            worker = next(filter(is_encoder, psutil.process_iter(["cmdline"])), None)
        if worker is not None and list(folder.glob("*.parquet")):
            worker.kill()
            killed.append(worker.pid)
        time.sleep(0.01)


def is_encoder(process: psutil.Process) -> bool:
    """Whether it is one of Ray's workers that encode."""
    return any("MapWorker(MapBatches(Encode)" in part for part in process.info["cmdline"] or ())


def read_all(folder: Path) -> Predictions:
    """Every predictions file of a folder, rows in the order of their ids."""
    table = concatenate_predictions([read_predictions(path) for path in sorted(folder.glob("*.parquet"))])
    return table.select(np.argsort(table.ids.astype(str)))


def test_shards_give_the_numbers_of_one_process_though_a_worker_is_killed(cluster: None, job: Path) -> None:
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_worker, args=(job / "shards", killed))
    killer.start()
    summary = encode_shards(str(job / "raw"), str(job / "shards"), analyzed=job / "analyzed", workers=2)
    killer.join()
    assert killed
    assert (summary.shards, summary.rows, summary.reused_shards) == (SHARDS, 120, 0)
    expected = {row["conversation_id"]: row for row in open_corpus(job / "analyzed").table.to_pylist()}
    found = [
        row for path in sorted((job / "shards").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    assert sorted(row["conversation_id"] for row in found) == sorted(expected)  # each id exactly once
    for row in found:
        other = expected[row["conversation_id"]]
        assert [row["split"], row["participant_splits"]] == [other["split"], other["participant_splits"]]
        np.testing.assert_allclose(
            np.array(row["features"], np.float32), np.array(other["features"], np.float32), atol=1e-6
        )

    model = job / "author.pt"
    predict_shards(model, str(job / "shards"), str(job / "scores"), split="all", device="cpu", workers=2)
    single = predict(model, job / "analyzed", split="all", device="cpu")
    single = single.select(np.argsort(single.ids.astype(str)))
    sharded = read_all(job / "scores")
    assert sharded.ids.tolist() == single.ids.tolist()
    assert sharded.splits.tolist() == single.splits.tolist()
    assert np.abs(sharded.probs - single.probs).max() <= 1e-6

    for aggregation in ("mean", "mean_vote"):
        dest = job / f"profiles-{aggregation}"
        made = profile_shards(
            str(job / "scores"), str(dest), model_path=model, aggregation=aggregation, buckets=4
        )
        profiles, whole = read_all(dest), profile_predictions(single, (aggregation,))[aggregation]
        whole = whole.select(np.argsort(whole.ids.astype(str)))
        assert made.rows == len(whole)
        assert profiles.ids.tolist() == whole.ids.tolist()
        assert profiles.labels.tolist() == whole.labels.tolist()
        assert profiles.lengths.tolist() == whole.lengths.tolist()
        assert np.abs(profiles.probs - whole.probs).max() <= 1e-6
        assert profiles.threshold == read_metadata(model).profile_thresholds[aggregation]
    assert (
        profile_shards(str(job / "scores"), str(dest), aggregation="mean_vote", buckets=4).reused_shards == 4
    )

    dest = job / "profiles-of-the-model"
    trained = read_metadata(model).trained_aggregation
    assert trained is not None
    profile_shards(str(job / "scores"), str(dest), model_path=model, buckets=4)
    profiles = read_all(dest)
    whole = profile_predictions(single, ("trained",), trained=trained)["trained"]
    whole = whole.select(np.argsort(whole.ids.astype(str)))
    assert profiles.ids.tolist() == whole.ids.tolist()
    assert profiles.threshold == whole.threshold == trained.threshold
    assert np.abs(profiles.probs - whole.probs).max() <= 1e-6


def write_shards(corpus: Path, dest: Path, *, conversations: int) -> None:
    """Write an analyzed corpus as shards of so many conversations each."""
    dest.mkdir()
    table = corpus_to_table(open_corpus(corpus))
    for number, first in enumerate(range(0, len(table), conversations)):
        part = table.slice(first, conversations)
        ShardFolder(str(dest)).write(f"part-{number:05d}.parquet", part, make_mark("corpus"))


@pytest.mark.long
def test_a_stopped_run_goes_on_by_shard(cluster: None, job: Path, tmp_path: Path) -> None:
    write_shards(job / "analyzed", tmp_path / "shards", conversations=30)
    model, source, dest = job / "author.pt", str(tmp_path / "shards"), tmp_path / "scores"
    assert predict_shards(model, source, str(dest), split="all", device="cpu").shards == 4
    before = {path.name: path.stat().st_mtime_ns for path in dest.iterdir()}
    (dest / "part-00002.parquet").unlink()
    (dest / "part-00003.parquet").write_bytes(b"torn")
    summary = predict_shards(model, source, str(dest), split="all", device="cpu")
    assert (summary.shards, summary.reused_shards) == (2, 2)
    after = {path.name: path.stat().st_mtime_ns for path in dest.iterdir()}
    same = sorted(name for name in before if before[name] == after[name])
    assert same == ["part-00000.parquet", "part-00001.parquet"]
    assert predict_shards(model, source, str(dest), split="all", device="cpu").reused_shards == 4
    assert (
        predict_shards(model, source, str(dest), split="test", device="cpu").reused_shards == 0
    )  # other work


@pytest.mark.long
def test_a_broken_shard_is_named_and_the_others_are_done(cluster: None, job: Path, tmp_path: Path) -> None:
    write_shards(job / "analyzed", tmp_path / "shards", conversations=60)
    (tmp_path / "shards" / "part-00009.parquet").write_bytes(
        (job / "raw" / "part-00000.parquet").read_bytes()
    )
    dest = tmp_path / "scores"
    with pytest.raises(CorpusError, match=r"1 of 3 shards failed.*part-00009.*encode it first"):
        predict_shards(job / "author.pt", str(tmp_path / "shards"), str(dest), device="cpu")
    assert len(list(dest.iterdir())) == 2
    (tmp_path / "shards" / "part-00000.parquet").unlink()
    with pytest.raises(CorpusError, match="holds shards that .* has not, such as part-00000.parquet: remove"):
        predict_shards(job / "author.pt", str(tmp_path / "shards"), str(dest), device="cpu")


def test_what_cannot_be_done_is_refused_at_once(job: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="expected Parquet shards, found none"):
        predict_shards(job / "author.pt", str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(
        UsageError, match="aggregated by mean, median, mean_vote, total_vote, not 'attention'"
    ):
        profile_shards(str(tmp_path), str(tmp_path / "out"), aggregation="attention")
    with pytest.raises(InputError, match="expected predictions of an author model"):
        profile_shards(str(job / "raw"), str(tmp_path / "out"))
    strict = import_corpus(job / "chats.jsonl", tmp_path / "strict", strict=True)
    with pytest.raises(SplitError, match="a strict plan is one joint assignment"):
        encode_shards(str(job / "raw"), str(tmp_path / "out"), analyzed=strict)


def test_shards_lie_under_a_url_too() -> None:
    folder = ShardFolder("memory://bucket/shards")
    table: Any = pa.table({"number": [1, 2]})
    folder.filesystem.makedirs("/bucket/shards")
    folder.write("part-00000.parquet", table, "mark")
    assert folder.names() == ["part-00000.parquet"]
    assert folder.mark_of("part-00000.parquet") == "mark"
    with folder.fetch("part-00000.parquet") as local:
        assert pq.read_table(local).to_pydict() == {"number": [1, 2]}
    assert json.dumps(ShardFolder("memory://elsewhere").names()) == "[]"
