"""The long suite: kills, hostile inputs, clocks that jump, exhausted memory and lost workers, in numbers.

    pytest -m long -n 0 tests/long
    ADVCLI_LONG_SHARE=0.05 pytest -m long -n 0 tests/long

It takes hours and belongs to no folder of advcli/. Everything random follows from ADVCLI_LONG_SEED (0), which a test
that fails prints; ADVCLI_LONG_SHARE (1) is the part of the kills, inputs and images that is tried.
"""

import math
import os
import random

SEED = int(os.environ.get("ADVCLI_LONG_SEED", "0"))
SHARE = float(os.environ.get("ADVCLI_LONG_SHARE", "1"))


def share_of(count: int) -> int:
    """Return how many of ``count`` are tried: at least one."""
    return max(1, math.ceil(count * SHARE))


def seeded(use: str) -> random.Random:
    """Return the random numbers of a test; pytest shows what this prints if the test fails."""
    print(f"ADVCLI_LONG_SEED={SEED} ADVCLI_LONG_SHARE={SHARE:g}")
    return random.Random(f"{SEED} {use}")
