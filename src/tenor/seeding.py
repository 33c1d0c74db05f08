"""Seeds and stable hashes: one seed comes in, independent streams go out.

Knows nothing of torch: callers hand the derived integers to ``torch.Generator.manual_seed``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np


def derive_seed(seed: int, *names: str | int) -> int:
    """Derive an independent 63-bit seed for a named purpose, the same on every machine.

    Args:
        seed: the run's one seed.
        names: the purpose, such as ``"shuffle", epoch``.

    Returns:
        An integer in [0, 2**63).
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for a named purpose (see derive_seed)."""
    return np.random.default_rng(derive_seed(seed, *names))


def fraction_hash(seed: int) -> Callable[[str], float]:
    """What gives each identifier a stable pseudo-random number in [0, 1): it follows from both alone.

    It is ``derive_seed(seed, "fraction", identifier) / 2**63``.
    """
    start = hashlib.blake2b(f"{seed}\x1ffraction\x1f".encode(), digest_size=8)

    def find(identifier: str) -> float:
        state = start.copy()
        state.update(identifier.encode())
        return (int.from_bytes(state.digest(), "big") >> 1) / 2.0**63

    return find
