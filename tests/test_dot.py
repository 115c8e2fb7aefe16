"""Scalar products: the sum of the products, and the same bits with one thread and with two."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from backtest.base.dot import dot

PROGRAM = """
import numpy as np
from backtest.scoring.block_length import block_length
values = np.random.default_rng(1).standard_normal(60_000) * 1e-3
print(block_length(values).hex())
"""


@pytest.mark.parametrize("count", [0, 1, 9_999, 10_000, 10_001, 35_000])
def test_it_is_the_sum_of_the_products(count: int) -> None:
    one, other = np.random.default_rng(count).standard_normal((2, count))
    assert dot(one, other) == pytest.approx(math.fsum((one * other).tolist()), abs=1e-9)
    if count <= 10_000:
        assert dot(one, other) == one @ other


def test_the_block_length_does_not_depend_on_the_number_of_threads() -> None:
    found = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
