"""Devices and precisions that are asked for on a machine that may not have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenor.devices import plain_runtime, start_runtime


@pytest.mark.parametrize(
    ("capabilities", "precision", "is_warned"),
    [
        ({"architecture": "x86_64", "amx_bf16": False}, "bf16", True),
        ({"architecture": "x86_64", "amx_bf16": False}, "no", False),
        ({"architecture": "x86_64", "amx_bf16": True}, "bf16", False),
        ({"architecture": "aarch64"}, "bf16", False),
        (None, "bf16", False),  # a torch that does not tell
    ],
)
def test_bf16_on_a_cpu_without_its_instructions_is_warned_of(
    capabilities: dict[str, Any] | None,
    precision: str,
    is_warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if capabilities is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert start_runtime("cpu", precision).precision == precision
    assert ("likely slower than fp32" in caplog.text) == is_warned


def test_a_callers_own_accelerator_keeps_its_settings() -> None:
    accelerate = pytest.importorskip("accelerate")
    own = accelerate.Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=4)
    runtime = start_runtime("cpu")
    assert (runtime.rank, runtime.world_size, runtime.accelerator) == (0, 1, None)
    assert (own.mixed_precision, own.gradient_accumulation_steps) == ("bf16", 4)


def test_fp32_is_fp32_inside_a_callers_autocast() -> None:
    product = torch.nn.Linear(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with plain_runtime("cpu").autocast():
            assert product(torch.ones(1, 4)).dtype == torch.float32
        assert product(torch.ones(1, 4)).dtype == torch.bfloat16
