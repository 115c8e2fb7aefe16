"""Trials made of numbers, for the tests of the ledger."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from backtest.ledger.records import Scope, TrialRecord

OCTOBER = Scope(1_759_276_800_000, 1_761_955_200_000, frozenset({"ZEC"}), frozenset({("ZEC", 20_362)}))


def made(
    observed: float,
    draws: npt.ArrayLike,
    *,
    name: str = "",
    scope: Scope = OCTOBER,
    common: str = "shift a",
    asked: str = "",
) -> TrialRecord:
    """A tested trial with an observed statistic and its draws; by default its name follows from them."""
    singles = np.asarray(draws, np.float32)
    title = name or "s" + hashlib.sha256(singles.tobytes() + repr(observed).encode()).hexdigest()[:8]
    defined = singles[~np.isnan(singles)]
    return TrialRecord(
        strategy=title,
        source="",
        parameters={"hold": "24h"},
        hashes={"data": "d", "calendar": "c", "config": "f", "detail": ""},
        data="test",
        calendar="test",
        plan={"kind": "shift", "draws": len(singles), "statistic": "net_return", "seed": 1},
        scope=scope,
        scores={"net_return": observed, "sharpe": observed},
        observed=observed,
        p=float((1 + np.count_nonzero(defined >= np.float32(observed))) / (len(singles) + 1)),
        draws=singles,
        common=common,
        asked=asked,
    )


def blind(name: str, scope: Scope = OCTOBER) -> TrialRecord:
    """A trial that was replayed without placebos."""
    hashes = {"data": "d", "calendar": "c", "config": "f", "detail": ""}
    return TrialRecord(name, "", {}, hashes, "test", "test", None, scope, {"net_return": 0.1})


def family(trials: int, draws: int, seed: int, shared: float = 0.5) -> tuple[npt.NDArray[np.float64], ...]:
    """Observed (M,) and draws (M, B) of null trials with a common factor: the observed is a draw like any other."""
    random = np.random.default_rng(seed)
    factor = random.standard_normal(draws + 1)
    own = random.standard_normal((trials, draws + 1))
    scale = random.lognormal(0.0, 1.0, (trials, 1))
    values = scale * (np.sqrt(shared) * factor + np.sqrt(1 - shared) * own) + random.standard_normal((trials, 1))
    return values[:, 0], values[:, 1:]
