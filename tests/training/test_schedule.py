from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from tenor.training.schedule import make_schedule


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW(nn.Linear(2, 1).parameters(), lr=0.1)


def test_cosine_warms_up_and_falls_to_zero() -> None:
    optimizer = make_optimizer()
    schedule = make_schedule("cosine", optimizer, peak=0.1, warmup_fraction=0.2, total_steps=10)
    rates = []
    for step in range(11):
        schedule.before_step(step)
        rates.append(optimizer.param_groups[0]["lr"])
    cosine = [0.05 * (1 + math.cos(math.pi * done / 8)) for done in range(9)]
    assert rates == pytest.approx([0.05, 0.1, *cosine])


def test_plateau_halves_after_five_epochs_without_progress_and_resumes_alike() -> None:
    optimizer, other = make_optimizer(), make_optimizer()
    schedule = make_schedule("plateau", optimizer, peak=0.1, warmup_fraction=0.0, total_steps=1)
    rates = []
    for score in (0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4):
        schedule.after_epoch(score)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.1] * 5 + [0.05] * 2
    resumed = make_schedule("plateau", other, peak=0.1, warmup_fraction=0.0, total_steps=1)
    resumed.restore(json.loads(json.dumps(schedule.state())))
    assert resumed.state() == schedule.state()
