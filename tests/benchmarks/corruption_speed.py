"""The speed of advcli's corruptions beside imagecorruptions, in images a second.

    pip install -e ".[bench]"
    python tests/benchmarks/corruption_speed.py                       # all 19, five severities, 64 x 64
    python tests/benchmarks/corruption_speed.py --edge 224 --images 8
    python tests/benchmarks/corruption_speed.py --corruptions bar --own --alone

Each gets 8-bit photos and returns a batch in float32, as a network takes it. They are run in turn, round
by round, in one thread, and the medians of the CPU time are printed with their ratio. The peer takes its
parameters for 224 pixels at every size, and so does ours here, unless `--own` asks for those of the size.
The peer does not have the corruptions of ImageNet-C-bar: `--alone` measures ours without it.
The `bench` extra installs the fork imagecorruptions-imaug, which has the same import name, runs on NumPy 2,
and compiles its glass blur; the original imagecorruptions 1.1.2 of 2020 imports names that NumPy 2 and
SciPy dropped, which are given back to it here where it is the one that is installed.
"""

# The other library is installed for a comparison only.
# pyright: reportMissingImports=false

import argparse
import contextlib
import importlib.metadata
import io
import os
import sys
import time
import types
from collections.abc import Callable
from statistics import median
from typing import Any

# One thread each; this must be said before NumPy and OpenCV are imported.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")

import numpy as np
import scipy.ndimage
import skimage.filters
from skimage import data, transform

from advcli import registry
from advcli.corruptions import _parameters, chosen, corrupted


def photos(count: int, edge: int) -> np.ndarray:
    """Make photos of a cat and of an astronaut: -> (N, edge, edge, 3) uint8."""
    pictures = [data.chelsea()[:300, 75:375], data.astronaut()]
    small = [255 * np.asarray(transform.resize(each, (edge, edge), anti_aliasing=True)) for each in pictures]
    return np.rint(np.stack([np.roll(small[i % 2], i, axis=1) for i in range(count)])).astype(np.uint8)


def peer() -> tuple[str, Callable[..., Any]]:
    """Import imagecorruptions: its name with its version, and its function."""
    try:
        name = f"imagecorruptions-imaug {importlib.metadata.version('imagecorruptions-imaug')}"
    except importlib.metadata.PackageNotFoundError:
        name = f"imagecorruptions {importlib.metadata.version('imagecorruptions')}"
        _give_back_what_it_needs()
    from imagecorruptions import corrupt

    return name, corrupt


def _give_back_what_it_needs() -> None:
    module: Any = types.ModuleType("scipy.ndimage.interpolation")
    module.zoom, module.map_coordinates = scipy.ndimage.zoom, scipy.ndimage.map_coordinates
    sys.modules[module.__name__] = module
    np.float_ = np.float64  # pyright: ignore[reportAttributeAccessIssue]  what that library asks for
    gaussian = skimage.filters.gaussian

    def with_the_old_name(image: np.ndarray, *arguments: Any, multichannel: bool = False, **options: Any) -> np.ndarray:
        return gaussian(image, *arguments, channel_axis=-1 if multichannel else None, **options)

    skimage.filters.gaussian = with_the_old_name


def take_parameters_for_224(corruption: str) -> None:
    """Let a corruption take the parameters for 224 pixels at every size."""
    module: Any = sys.modules[registry.component("corruptions", corruption).__module__]
    module.table = lambda side, severity, published: _parameters.table(224, severity, published)


def _alone(options: argparse.Namespace, pictures: np.ndarray) -> None:
    print(f"images a second at {options.edge} px, mean of severities 1 to 5, NumPy {np.__version__}")
    for corruption in chosen(options.corruptions):
        if not options.own:
            take_parameters_for_224(corruption)
        seconds = []
        for severity in range(1, 6):
            times = []
            for _ in range(options.rounds + 1):
                start = time.process_time()
                corrupted(corruption, pictures / np.float32(255), severity, 0)
                times.append(time.process_time() - start)
            seconds.append(median(times[1:]))
        rates = [options.images / each for each in (sum(seconds) / 5, max(seconds))]
        print(f"{corruption:26} {rates[0]:8.0f}, the slowest severity {rates[1]:8.0f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--corruptions", default="all,extra", help="as for advcli benchmark (default: all,extra)")
    parser.add_argument("--edge", type=int, default=64, help="pixels (default: 64)")
    parser.add_argument("--images", type=int, default=32, help="in a batch (default: 32)")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is run (default: 5)")
    parser.add_argument("--own", action="store_true", help="take advcli's parameters for the size")
    parser.add_argument("--alone", action="store_true", help="measure without the peer")
    options = parser.parse_args()
    pictures = photos(options.images, options.edge)
    if options.alone:
        _alone(options, pictures)
        return
    name, theirs = peer()
    print(f"images a second at {options.edge} px, mean of severities 1 to 5, beside {name}, NumPy {np.__version__}")
    print(f"{'':18} {'advcli':>8} {'peer':>8}  ratio  lowest of a severity")
    for corruption in chosen(options.corruptions):
        if not options.own:
            take_parameters_for_224(corruption)
        ratios, seconds = [], np.zeros(2)
        for severity in range(1, 6):
            times: tuple[list[float], list[float]] = ([], [])
            for measured in range(-1, options.rounds):
                start = time.process_time()
                corrupted(corruption, pictures / np.float32(255), severity, 0)
                between = time.process_time()
                # The peer prints what it catches.
                with contextlib.redirect_stdout(io.StringIO()):
                    changed = [theirs(each, corruption_name=corruption, severity=severity) for each in pictures]
                    np.divide(np.stack(changed), np.float32(255))
                end = time.process_time()
                # The first round fills caches, and compiles.
                if measured >= 0:
                    times[0].append(between - start)
                    times[1].append(end - between)
            own, other = median(times[0]), median(times[1])
            ratios.append(other / own)
            seconds += own, other
        rates = 5 * options.images / seconds
        print(
            f"{corruption:18} {rates[0]:8.0f} {rates[1]:8.0f} {rates[0] / rates[1]:6.1f} {min(ratios):6.1f}", flush=True
        )


if __name__ == "__main__":
    main()
