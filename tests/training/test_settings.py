"""Whatever numbers a training is told: it trains, or it says which of them it cannot use."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenor.errors import TenorError, UsageError
from tenor.models.model_file import load_model
from tenor.training.settings import TrainSettings
from tenor.training.train import train_model

SOUND: dict[str, Any] = {
    "level": "author",
    "num_epochs": 1,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "hidden_size": 8,
    "num_layers": 1,
    "num_heads": 2,
    "dropout": 0.1,
    "kernel_sizes": (3,),
    "pos_weight": None,
    "beta": 0.999,
    "gamma": 2.0,
    "scheduler": "cosine",
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "clip_norm": 1.0,
    "patience": 1,
    "monitor": "f1",
    "threshold": "f1",
    "prior": "none",
    "context": "own",
    "seed": 0,
    "mixed_precision": "no",
    "micro_batch_messages": 512,
}
WRONG = [math.nan, math.inf, -math.inf, -1, -0.5, 1e38, 10**5000, True, "many"]
ZERO_IS_WRONG = ["num_epochs", "batch_size", "patience", "micro_batch_messages", "hidden_size", "num_heads"]
ZERO_IS_WRONG += ["learning_rate", "clip_norm", "pos_weight"]
REALS = [
    "learning_rate",
    "dropout",
    "beta",
    "gamma",
    "warmup_fraction",
    "weight_decay",
    "clip_norm",
    "pos_weight",
]


@pytest.mark.parametrize("name", [*ZERO_IS_WRONG[:6], "num_layers", *REALS])
@pytest.mark.parametrize("value", WRONG, ids=lambda value: str(value)[:9] if value != 10**5000 else "huge")
def test_a_wrong_number_is_refused_with_its_name_and_bounds(name: str, value: object) -> None:
    if (name, value) == ("pos_weight", "many"):
        pytest.skip("a text is a method's name there, which is refused by its own rule")
    with pytest.raises(UsageError, match=rf"^{name} must be a (whole )?number .*\d.* not "):
        TrainSettings(**SOUND | {name: value})


@pytest.mark.parametrize("name", ZERO_IS_WRONG)
def test_zero_is_refused_where_it_means_nothing(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{name} must be a (whole )?number .* not 0$"):
        TrainSettings(**SOUND | {name: 0})


def test_numbers_of_numpy_become_plain_ones() -> None:
    given_ones = {"batch_size": np.int64(16), "learning_rate": np.float32(0.5), "pos_weight": 3}
    found = TrainSettings(**SOUND | given_ones)
    assert (type(found.batch_size), type(found.learning_rate), found.pos_weight) == (int, float, 3.0)
    assert isinstance(found.pos_weight, float)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["checkpoint_every_steps", "checkpoint_every_s"])
def test_checkpoints_are_every_some_steps_or_seconds(tmp_path: Path, name: str, value: Any) -> None:  # noqa: ANN401
    if (name, value) == ("checkpoint_every_s", 0):
        pytest.skip("after every step")
    with pytest.raises(UsageError, match=f"^{name} must be a"):
        train_model("author", tmp_path / "none", model_path=tmp_path / "m", **{name: value})


EXTREMES = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": st.sampled_from([1, 10**9]),
        "learning_rate": st.sampled_from([5e-324, 1e-300, 1.0, 1e12, 1e30]),
        "dropout": st.sampled_from([0.0, 0.999999, 1.0]),
        "warmup_fraction": st.sampled_from([0.0, 1e-300, 1.0]),
        "weight_decay": st.sampled_from([0.0, 1e-300, 1e12, 1e13]),
        "clip_norm": st.sampled_from([None, 5e-324, 1e-40, 1e12]),
        "pos_weight": st.sampled_from([5e-324, 1e-40, 1e12, "balanced", "effective", "focal", "sqrt"]),
        "beta": st.sampled_from([0.0, 5e-324, 1 - 2**-53]),
        "gamma": st.sampled_from([0.0, 1e3, 1e4]),
        "scheduler": st.sampled_from(["plateau", "cosine"]),
        "patience": st.just(10**9),
        "seed": st.sampled_from([-(2**63), -1, 2**63 - 1, 2**63]),
        "micro_batch_messages": st.sampled_from([1, 10**9]),
        "num_layers": st.just(0),
        "num_heads": st.sampled_from([3, 8]),
        "kernel_sizes": st.sampled_from([(1,), (2,), (4095,), ()]),
        "mixed_precision": st.just("bf16"),
        "prior": st.sampled_from(["none", "auto"]),
    },
)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(EXTREMES)
def test_any_settings_train_or_are_refused(
    small_corpus: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    arguments = {name: value for name, value in SOUND.items() if name != "level"} | options
    try:
        path = train_model(
            "author", small_corpus, model_path=tmp_path / "m", device="cpu", progress=False, **arguments
        )
    except TenorError as error:
        assert str(error)
    else:
        assert load_model(path) is not None
