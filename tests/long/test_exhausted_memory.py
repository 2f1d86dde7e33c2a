"""An address space too small for a batch: the batch halves, the verdicts are those of a machine with more."""

import subprocess
import sys
from pathlib import Path

import pytest

from long import seeded

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")]


@pytest.mark.parametrize(
    "spec", ["fgsm", "pgd:steps=5", "mifgsm:steps=5", "deepfool", "cw:steps=20", "square:queries=40"]
)
def test_verdicts_do_not_depend_on_memory(spec: str) -> None:
    number = seeded(spec).randrange(2**16)
    found = {}
    # The allocator keeps what it has had, so each limit has a process of its own.
    for gigabytes in (64, 4, 2.5):
        command = [sys.executable, "-m", "long.exhausted", spec, str(gigabytes), str(number)]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        *notes, found[gigabytes] = done.stdout.splitlines()
        assert len(notes) == (gigabytes < 64), notes
    assert found[2.5] == found[64]
    assert found[4] == found[64]
