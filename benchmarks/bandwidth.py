"""What one core copies a second: `python -m benchmarks.bandwidth BARS` prints the bars that a calendar of the workload
holds, and the bytes read and written a second.

The copy of STREAM (McCalpin, 1995), by numpy: arrays far beyond any cache, the fastest of its repeats.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.engines.plain_numpy import PlainNumpy
from benchmarks.workload import workload

BYTES = 256 * 2**20
REPEATS = 7


def copied_bytes_per_second() -> float:
    """Bytes read plus bytes written, a second."""
    source, target = np.ones(BYTES // 8), np.zeros(BYTES // 8)
    fastest = np.inf
    for _ in range(REPEATS):
        begin = time.perf_counter()
        np.copyto(target, source)
        fastest = min(fastest, time.perf_counter() - begin)
    return 2 * BYTES / fastest


if __name__ == "__main__":
    print(PlainNumpy(workload(1_000, int(sys.argv[1]))).held(), copied_bytes_per_second())
