"""Devices and precisions that are asked for on a machine that may not have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenor.devices import start_runtime


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
