"""Helpers find what the process itself would find, to the bit; real ones, which are killed and abandoned too."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tenor.lexical import LexicalModel, count_texts, helpers
from tenor.lexical.fitting import BAYES, CHARACTERS, TFIDF, Recipe
from tenor.lexical.helpers import MAX_HELPERS, Helpers, Job, count_helpers

WORDS = "yes no maybe fine later today game match talk think read play good hello thanks sure why".split()
#: As long as somebody may want to wait: 3,000 fits.
ENDLESS = Recipe("presence", (0.1, 0.3, 1.0, 3.0, 10.0), 0.1, "words")


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


def make_endless_job() -> Job:
    """One that takes far longer than any test."""
    job = make_job(2, ENDLESS, count=6000)
    return dataclasses.replace(job, codes=np.arange(6000) % 3000, folds=3000)


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
def test_a_job_whose_helper_is_killed_is_done_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(helpers, "_PROGRAM", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    jobs = [make_job(2, recipe) for recipe in (TFIDF, BAYES, CHARACTERS)]
    with Helpers(2) as crew:
        found = [crew.start(job, nothing) for job in jobs]
        for job, wait in zip(jobs, found, strict=True):
            require_equal(wait(), job.run())
        assert crew._all
        assert {process.wait() for process in crew._all} == {-signal.SIGKILL}
    said = "a helper process ended as it started (exit code -9): its part is fitted in this process"
    assert 1 <= caplog.text.count(said) == len(caplog.records) <= 2, "not once a part"


@pytest.mark.usefixtures("all_handed_out")
def test_a_job_whose_helper_dies_in_its_middle_is_done_here(caplog: pytest.LogCaptureFixture) -> None:
    with Helpers(2) as crew:
        crew.start(make_job(2, TFIDF), nothing)()
        (process,) = crew._all
        process.kill()
        job = make_job(2, BAYES)
        require_equal(crew.start(job, nothing)(), job.run())
    assert "a helper process ended in the middle of a job" in caplog.text


@pytest.mark.usefixtures("all_handed_out")
def test_an_error_in_a_job_is_this_process_s() -> None:
    job = dataclasses.replace(make_job(2, TFIDF), labels=np.zeros(3, np.int64))
    with Helpers(2) as crew, pytest.raises(ValueError, match="broadcast"):
        crew.start(job, nothing)()


@pytest.mark.usefixtures("all_handed_out")
def test_what_is_printed_as_python_starts_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nprint('hi')\nos.write(1, b'no line end')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    job = make_job(2, TFIDF)
    with Helpers(2) as crew:
        require_equal(crew.start(job, nothing)(), job.run())
        assert [process.poll() for process in crew._all] == [None], "it was a helper's answer"


@pytest.mark.usefixtures("all_handed_out")
def test_a_job_that_is_done_is_let_go_of() -> None:
    job = make_job(2, TFIDF)
    alive = weakref.ref(job)
    with Helpers(2) as crew:
        wait = crew.start(job, nothing)
        wait()
        del job
        wait_until(lambda: alive() is None, "nobody holds the job")
        assert len(wait()[1]) == 240, "its result is still there"


@pytest.mark.usefixtures("all_handed_out")
def test_jobs_wait_where_helpers_are_busy() -> None:
    started: list[int] = []
    with Helpers(2) as crew:

        def ask() -> None:
            with contextlib.suppress(RuntimeError):  # it is told so when they have ended
                for number in range(5):
                    crew.start(make_endless_job(), nothing)
                    started.append(number)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        wait_until(lambda: len(started) >= 3, "two jobs are in work, one waits")
        time.sleep(1)
        assert len(started) == 3
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.usefixtures("all_handed_out")
def test_where_no_process_can_be_started_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    job = make_job(2, TFIDF)
    with Helpers(2) as crew:
        require_equal(crew.start(job, nothing)(), job.run())


@pytest.mark.usefixtures("all_handed_out")
def test_an_error_ends_the_helpers() -> None:
    with pytest.raises(KeyboardInterrupt), Helpers(2) as crew:
        for _ in range(3):
            crew.start(make_endless_job(), nothing)
        wait_until(lambda: len(crew._all) == 2, "both are there")
        assert all(os.getsid(process.pid) != os.getsid(0) for process in crew._all), "Ctrl-C is not theirs"
        raise KeyboardInterrupt
    assert [process.returncode for process in crew._all] == [-signal.SIGKILL] * 2


@pytest.mark.usefixtures("all_handed_out")
def test_a_helper_does_not_outlive_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "asks.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_lexical_helpers import TFIDF, make_endless_job, make_job, nothing\n"
        "from tenor.lexical import helpers\n"
        "helpers.LEAST_COUNTS = 0\n"
        "crew = helpers.Helpers(2)\n"
        "crew.start(make_job(2, TFIDF), nothing)()\n"
        "wait = crew.start(make_endless_job(), nothing)\n"
        "print(crew._all[0].pid, flush=True)\n"
        "wait()\n"
        "print('done')\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        helper = int(parent.stdout.readline())
        time.sleep(1)  # it is in the middle of the job
        assert is_alive(helper)
    finally:
        parent.kill()
        rest, _ = parent.communicate()
    assert rest == ""
    wait_until(lambda: not is_alive(helper), "the helper ended")


def test_helpers_are_as_many_as_there_are_cores_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for cores, launched, asked, expected in (
        (1, 1, "", 1),
        (3, 1, "", 3),
        (64, 1, "", MAX_HELPERS),
        (64, 1, "2", 2),
        (64, 1, "8", MAX_HELPERS),
        (64, 1, "0", MAX_HELPERS),
        (2, 1, "8", 2),
        (8, 4, "", 2),
        (2, 4, "", 1),
    ):
        monkeypatch.setattr(helpers, "count_cores", lambda cores=cores: cores)
        monkeypatch.setattr(helpers, "process_count", lambda launched=launched: launched)
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert count_helpers() == expected, (cores, launched, asked)
    monkeypatch.setattr(sys, "executable", None)  # Python inside another program
    assert count_helpers() == 1


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
