"""One engine in a process of its own: `python -m benchmarks.worker ENGINE REPLAYS BARS`, driven over its pipes.

It prepares, warms up on a few replays (compilation, caches), says so, then replays once for every line it reads and
answers with the seconds that took. At the end of its input it prints the most memory it held, in megabytes.
"""

from __future__ import annotations

import gc
import resource
import sys
import time

from benchmarks.engines import engine
from benchmarks.workload import workload

WARM_UP = 3


def peak_megabytes() -> float:
    """Largest resident size of this process; the kernel counts it in KiB, that of macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main(name: str, replays: int, bars: int) -> None:
    """Serve the pipes of `benchmarks.process.Measured`."""
    engine(name, workload(WARM_UP, bars)).scores()
    measured = engine(name, workload(replays, bars))
    print("ready", flush=True)
    for _ in sys.stdin:
        gc.collect()
        start = time.perf_counter()
        measured.scores()
        print(time.perf_counter() - start, flush=True)
    print(peak_megabytes(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
