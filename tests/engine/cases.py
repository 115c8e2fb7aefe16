"""Cases of another backtester as a table: bars, orders, its trades, and ours where a convention differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from backtest.base.config import load_config
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.market.record import Market
from backtest.signals.strategy import Exit, Intent, Intents
from tests.engine.test_orders import FREE, ZEC, market_of

Bar = tuple[float, float, float, float]


@dataclass(frozen=True)
class Case:
    """Bars, orders, and the trades of the other backtester; ours and the convention where they differ.

    An order is given as the fields of an `Intent`, with `at` for the bar that it is decided for (1 where it says none)
    and `until` for the one at which it is told to leave.
    """

    name: str | int
    bars: tuple[Bar, ...]
    intents: tuple[dict[str, Any], ...]
    theirs: tuple[Any, ...]
    exits: tuple[int, ...] = ()
    ours: tuple[Any, ...] | None = None
    why: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    rejected: tuple[str, ...] = ()

    @property
    def expected(self) -> tuple[Any, ...]:
        """Our trades, which are theirs where no convention differs."""
        return self.theirs if self.ours is None else self.ours


def case(name: str | int, bars: tuple[Bar, ...], intent: Any, *theirs: Any, **more: Any) -> Case:
    return Case(name, bars, intent if isinstance(intent, tuple) else (intent,), theirs, **more)


def replayed(
    one: Case,
    sized: Callable[[dict[str, Any], Market, int], dict[str, float]] = lambda *_: {},
    **settings: Any,
) -> Run:
    """A case replayed without costs; `sized` adds what an order's size depends on."""
    market, rows = market_of(*one.bars), []
    for asked in one.intents:
        given = dict(asked)
        row, until = given.pop("at", 1), given.pop("until", None)
        given |= sized(given, market, row)
        if until is not None:
            given["exit_at_ms"] = int(market.open_ms[until])
        rows.append(Intent(**{"instrument": ZEC, "decided_at_ms": int(market.open_ms[row]), **given}))
    exits = tuple(Exit(instrument=ZEC, decided_at_ms=int(market.open_ms[row])) for row in one.exits)
    return replay(market, Intents(tuple(rows), exits=exits), load_config(**{**settings, **FREE, **one.settings}))


def held(run: Run) -> tuple[pd.Series[int], pd.Series[int]]:
    """Bar of the entry and of the exit of each trade."""
    entry, left = (
        (run.trades[f"{name}_time"] - run.market.index[0]) // pd.Timedelta("1h") for name in ("entry", "exit")
    )
    return entry, left - (run.trades["exit_phase"] == "close")
