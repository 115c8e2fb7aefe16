"""The maximum statistic over a stream of trials: by hand, against the whole matrix at once, and whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from backtest.ledger.family import DrawsBlock, standard_of, step_down
from backtest.scoring.familywise import westfall_young
from tests.ledger.ledgers import family


def streamed(observed: np.ndarray, draws: np.ndarray, size: int = 3) -> np.ndarray:
    """Adjusted p of trials in any order, read in blocks of `size`."""
    singles = draws.astype(np.float32)
    standards = [standard_of(value, row) for value, row in zip(observed, singles, strict=True)]
    order = np.argsort([one.rank for one in standards], kind="stable")
    blocks = [
        DrawsBlock(
            singles[part],
            *(np.array([getattr(standards[place], name) for place in part]) for name in ("centre", "spread", "rank")),
        )
        for part in (order[first : first + size] for first in range(0, len(order), size))
    ]
    p = np.empty(len(observed))
    p[order] = step_down(blocks).p
    return p


def test_by_hand() -> None:
    """Two trials, four draws each; standardised by their own five values.

    a: observed 4 of 0 1 2 3 4: mean 2, deviation sqrt 2, z 1.4142; its draws z -1.41 -0.71 0 0.71.
    b: observed 1 of 3 1 2 4 1 (draws 3 2 4 1): mean 2.2, deviation 1.16619, z -1.0290; its draws 0.69 -0.17 1.54 -1.03.
    a beats every own draw, but one maximum over both (1.54) reaches it: (1 + 1) / 5. b is reached by all of its own
    four: 5 / 5.
    """
    a = standard_of(4.0, np.array([0, 1, 2, 3], np.float32))
    assert (a.centre, round(a.spread, 6), round(a.rank, 4)) == (2.0, 1.414214, 1.4142)
    p = streamed(np.array([4.0, 1.0]), np.array([[0, 1, 2, 3], [3, 2, 4, 1]]))
    assert p.tolist() == [0.4, 1.0]


@pytest.mark.parametrize("size", [1, 4, 100])
def test_as_the_whole_matrix_at_once(size: int) -> None:
    for seed in range(6):
        observed, draws = family(30, 199, seed)
        draws = draws.astype(np.float32).astype(float)
        observed = observed.astype(np.float32).astype(float)
        draws[3, :20] = np.nan
        draws[7] = draws[5]
        observed[7] = observed[5]
        whole = westfall_young(observed, draws.T)
        assert streamed(observed, draws, size) == pytest.approx(whole, abs=1e-12)
        assert len(set(whole)) > 5


@given(some.permutations(range(8)), some.integers(0, 1_000))
def test_order_changes_nothing(order: list[int], seed: int) -> None:
    observed, draws = family(8, 59, seed)
    p = streamed(observed, draws)
    assert streamed(observed[order], draws[order], 2).tolist() == p[order].tolist()


def test_a_trial_never_gains_by_company() -> None:
    observed, draws = family(20, 99, 5)
    alone = [streamed(observed[[m]], draws[[m]])[0] for m in range(20)]
    few, all_of_them = streamed(observed[:5], draws[:5]), streamed(observed, draws)
    assert (few >= alone[:5]).all()
    assert (all_of_them[:5] >= few).all()
    assert (all_of_them[:5] > few).any()


def test_what_never_varies_or_is_undefined_has_p_1() -> None:
    still = np.full(9, 2.0)
    p = streamed(np.array([2.0, 9.0]), np.array([still, np.arange(9.0)]))
    assert p.tolist() == [1.0, 0.1]
    assert standard_of(np.nan, np.arange(9, dtype=np.float32)).rank == -np.inf
    assert step_down([]).p.size == 0


def test_ties_of_float32_count_against_the_trial() -> None:
    """0.1 + 2e-9 is 0.1 in float32: a draw that the observed statistic beats by less than that has reached it."""
    assert streamed(np.array([0.1 + 2e-9]), np.array([[0.1, 0.0, -0.1]])).tolist() == [0.5]
