"""Helpers find what the process itself would find, to the bit; real ones, which are killed and abandoned too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.lexical import LexicalModel, count_texts, helpers
from tenor.lexical.fitting import BAYES, CHARACTERS, TFIDF, Recipe
from tenor.lexical.helpers import MAX_HELPERS, Helpers, Job, count_helpers

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks sure why".split()
BAYES_ALONE = Recipe("presence", (0.03,), 0.03, "words")


def nothing() -> None:
    """What is to happen when a job is done."""


@pytest.fixture
def all_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small jobs go to helpers too."""
    monkeypatch.setattr(helpers, "LEAST_COUNTS", 0)


def make_job(num_classes: int, recipe: Recipe, *, seed: int = 0, count: int = 240) -> Job:
    """Texts that say their label by one word, some of them without a label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(-1, num_classes, size=count)
    texts = [
        " ".join([*generator.choice(WORDS, size=6), *(["please", "never", "often"][label : label + 1])])
        for label in labels.tolist()
    ]
    codes = generator.integers(0, 5, size=count)
    return Job(count_texts(texts), labels, codes, num_classes, 5, recipe)


def require_equal(found: tuple[LexicalModel, np.ndarray], expected: tuple[LexicalModel, np.ndarray]) -> None:
    """The same bits in models and logits."""
    np.testing.assert_array_equal(found[1], expected[1])
    tensors, others = found[0].to_tensors(), expected[0].to_tensors()
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, others[name])
        assert tensor.dtype == others[name].dtype


@pytest.mark.usefixtures("all_handed_out")
def test_helpers_find_the_bits_of_this_process() -> None:
    recipes = [(2, TFIDF), (2, BAYES), (3, CHARACTERS), (3, BAYES), (2, CHARACTERS)]
    jobs = [make_job(classes, recipe, seed=seed) for seed, (classes, recipe) in enumerate(recipes)]
    done: list[int] = []
    with Helpers(2) as crew:
        waiting = [crew.start(job, lambda: done.append(1)) for job in jobs]
        found = [wait() for wait in waiting]
        assert len(crew._all) == 2, "both of them worked"
    for job, each in zip(jobs, found, strict=True):
        require_equal(each, job.run())
    assert len(done) == len(jobs)
    assert np.ptp(found[0][1]) > 0.1, "the logits say something"


def test_a_job_comes_out_as_it_went_in() -> None:
    job = make_job(3, BAYES)
    again = Job.from_bytes(job.to_bytes())
    assert (again.num_classes, again.folds, again.recipe) == (job.num_classes, job.folds, job.recipe)
    assert again.counts.shape == job.counts.shape
    assert (again.counts != job.counts).nnz == 0
    np.testing.assert_array_equal(again.labels, job.labels)
    np.testing.assert_array_equal(again.codes, job.codes)


def test_small_jobs_and_those_without_helpers_are_done_at_once() -> None:
    job = make_job(2, TFIDF)
    for count in (1, 2):
        done: list[int] = []
        with Helpers(count) as crew:
            wait = crew.start(job, lambda done=done: done.append(1))  # type: ignore[misc]
            assert done == [1]
            assert crew._all == [], "nobody was started"
        require_equal(wait(), job.run())


@pytest.mark.usefixtures("all_handed_out")
def test_a_job_whose_helper_is_killed_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    launch = Helpers._launch

    def launch_and_kill(crew: Helpers) -> subprocess.Popen[bytes]:
        process = launch(crew)
        process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(Helpers, "_launch", launch_and_kill)
    jobs = [make_job(2, recipe) for recipe in (TFIDF, BAYES, CHARACTERS)]
    with Helpers(2) as crew:
        found = [crew.start(job, nothing) for job in jobs]
        for job, wait in zip(jobs, found, strict=True):
            require_equal(wait(), job.run())
        assert crew._all
        assert {process.wait() for process in crew._all} == {-signal.SIGKILL}


@pytest.mark.usefixtures("all_handed_out")
def test_where_no_process_can_be_started_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    job = make_job(2, TFIDF)
    with Helpers(2) as crew:
        require_equal(crew.start(job, nothing)(), job.run())


@pytest.mark.usefixtures("all_handed_out")
def test_an_error_ends_the_helpers() -> None:
    with pytest.raises(KeyboardInterrupt), Helpers(2) as crew:
        crew.start(make_job(2, TFIDF), nothing)()
        crew.start(make_job(2, BAYES, count=4000), nothing)
        raise KeyboardInterrupt
    assert [process.poll() is not None for process in crew._all] == [True] * len(crew._all)
    assert crew._all


@pytest.mark.usefixtures("all_handed_out")
def test_a_helper_does_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_lexical_helpers import BAYES_ALONE, make_job, nothing\n"
        "from tenor.lexical import helpers\n"
        "helpers.LEAST_COUNTS = 0\n"
        "crew = helpers.Helpers(2)\n"
        "crew.start(make_job(2, BAYES_ALONE), nothing)()\n"
        "print(crew._all[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    helper = int(parent.stdout.readline())
    assert is_alive(helper)
    parent.kill()
    parent.communicate()
    wait_until(lambda: not is_alive(helper), "the helper ended")


def test_helpers_are_as_many_as_there_are_cores_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for cores, launched, asked, expected in (
        (1, 1, "", 1),
        (3, 1, "", 3),
        (64, 1, "", MAX_HELPERS),
        (64, 1, "2", 2),
        (64, 1, "0", MAX_HELPERS),
        (2, 1, "8", 2),
        (8, 4, "", 2),
        (2, 4, "", 1),
    ):
        monkeypatch.setattr(helpers, "count_cores", lambda cores=cores: cores)
        monkeypatch.setattr(helpers, "process_count", lambda launched=launched: launched)
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert count_helpers() == expected, (cores, launched, asked)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Look again and again for half a minute."""
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within 30 s")
