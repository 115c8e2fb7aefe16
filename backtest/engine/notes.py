"""Sentences that must be shown with the results of a replay: what was assumed, and what became of some trades."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.config import RunConfig
from backtest.engine import layout
from backtest.engine.accounts import has_mark
from backtest.engine.bounds import Intervals
from backtest.engine.layout import EXITS
from backtest.market.instrument import DOLLARS
from backtest.market.record import Market


@dataclass(frozen=True, slots=True)
class Counted:
    """A note about `count` of the trades: its `subject`, and the whole sentence for one run."""

    subject: str
    count: int
    trades: int
    note: str


def unfunded(trades: pd.DataFrame) -> frozenset[str]:
    """Instruments held over bars with unknown funding."""
    return frozenset(_where(trades, trades["unknown_funding_bars"].to_numpy() > 0, "instrument"))


def _where(trades: pd.DataFrame, chosen: npt.NDArray[np.bool_], column: str) -> list[Any]:
    """A column of the chosen trades; one without any costs no more than the question."""
    return trades[column][chosen].tolist() if chosen.any() else []


def funding_note(instruments: Collection[str], config: RunConfig) -> str:
    """A sentence about what was charged where funding is unknown."""
    how = {
        "zero": "counted as zero",
        "const": f"charged at {config.funding_const:.4%} per 8 h against the position",
    }
    names = ", ".join(sorted(instruments))
    return f"funding unknown for {names}: {how[config.funding_unknown]} (`funding_unknown` takes error, zero or const)"


def counted_notes(trades: pd.DataFrame, config: RunConfig, intervals: Intervals) -> tuple[Counted, ...]:
    """Notes about some of the trades, each with their number."""
    found = (_cut(trades), _crowded(trades, config), _in_parts(trades, config), _outer(trades, intervals))
    return tuple(one for one in found if one is not None)


def cross_notes(config: RunConfig, trades: pd.DataFrame, shortfall: float) -> list[str]:
    """What cross margin did to the account."""
    liquidated = trades.loc[trades["reason"] == EXITS[layout.LIQUIDATION].name, "exit_time"].drop_duplicates()
    notes = [
        "one account backs all contracts (`margin`): they are liquidated together, on the worst common path of a bar"
    ]
    if len(liquidated):
        times = f"{len(liquidated)} times, first" if len(liquidated) > 1 else "once,"
        notes.append(f"the account was liquidated {times} at {liquidated.iloc[0]:%Y-%m-%d %H:%M}")
    if shortfall > 0:
        notes.append(
            f"the account went bankrupt and trades no more: its trades lost {shortfall:,.2f} more than the capital of "
            f"{config.capital:,.0f}, which none of them is credited"
        )
    return notes


def _cut(trades: pd.DataFrame) -> Counted | None:
    """Entries that were filled with less than they wanted."""
    less = trades["cut"].to_numpy() != ""
    if not less.any():
        return None
    cut = trades[less]
    counts = ", ".join(f"{count} by {name}" for name, count in cut["cut"].value_counts(sort=False).items())
    note = (
        f"{len(cut)} of {len(trades)} entries got less than they wanted ({counts}), at least "
        f"{math.floor(cut['granted'].min() * 1e3 + 1e-9) / 1e3:.1%} of it each"
    )
    return Counted("entries that got less than they wanted, by volume, gross cap or cash", len(cut), len(trades), note)


def _crowded(trades: pd.DataFrame, config: RunConfig) -> Counted | None:
    """Exits that took more of their bar's volume than an entry may."""
    loads = trades["exit_load"].to_numpy()
    crowded = loads[loads > 1 + layout.SAME_STEP]
    if not len(crowded):
        return None
    share = f"took more than {config.participation:.4g} of their bar's volume"
    if config.partial_exits:
        share += ", as liquidations and the end of an instrument do"
    else:
        share += " and were filled whole, at their impact"
    most = float(crowded.max())
    shown = f"{most * config.participation:.3g} of it at most" if np.isfinite(most) else "some where nothing traded"
    note = f"{len(crowded)} of {len(trades)} exits {share} (`participation`; {shown})"
    return Counted(f"exits that {share}", len(crowded), len(trades), note)


def _in_parts(trades: pd.DataFrame, config: RunConfig) -> Counted | None:
    """Positions that left in more than one fill."""
    parts = trades.loc[trades["exit_fills"] > 1, "exit_fills"]
    if not len(parts):
        return None
    share = f"were filled in parts of at most {config.participation:.4g} of a bar's volume"
    note = f"{len(parts)} of {len(trades)} exits {share} (`partial_exits`; in {parts.max()} fills at most)"
    return Counted(f"exits that {share}", len(parts), len(trades), note)


def _outer(trades: pd.DataFrame, intervals: Intervals) -> Counted | None:
    """Trades whose interval is sound, but may be wider than necessary."""
    outer = int(intervals.outer.sum())
    if not outer:
        return None
    kind = "outer bounds, not exact (docs/methods.md says where)"
    note = f"intervals of {outer} of {len(trades)} trades are {kind}"
    return Counted(f"trades with intervals that are {kind}", outer, len(trades), note)


def _triggers(market: Market, config: RunConfig, trades: pd.DataFrame) -> list[str]:
    """Which price liquidates, where that can matter, and on which stops act."""
    known = dict(zip(market.symbols, has_mark(market).tolist(), strict=True))
    swaps = sorted(name for name in set(trades["instrument"]) if market.instruments[market.column(name)].kind == "swap")
    by_mark, by_last = ([name for name in swaps if known[name] is there] for there in (True, False))
    notes = []
    if config.liquidation_trigger == "mark" and by_mark:
        notes.append(f"liquidation acts on the mark price of {', '.join(by_mark)} (`liquidation_trigger`)")
    if config.liquidation_trigger == "mark" and by_last and config.leverage > 1:
        notes.append(f"mark price unknown of {', '.join(by_last)}: liquidation acts on the last price")
    if config.stop_trigger == "mark" and by_mark:
        notes.append(f"stops act on the mark price of {', '.join(by_mark)} (`stop_trigger`)")
    return notes


def notes_of(market: Market, config: RunConfig, trades: pd.DataFrame, currency: str) -> tuple[str, ...]:
    """Sentences that must be shown with the results of a replay."""
    notes = []
    if market.provenance.label:
        notes.append(f"{market.provenance.label}: {market.provenance.source}")
    if unknown := unfunded(trades):
        notes.append(funding_note(unknown, config))
    if early := set(_where(trades, trades["young"].to_numpy(), "instrument")):
        young = ", ".join(sorted(early))
        notes.append(f"liquidity of {young} was estimated from less than a day of bars at some entries")
    ended = trades["reason"].to_numpy() == EXITS[layout.DELISTED].name
    ends: dict[str, pd.Timestamp] = {}
    for name, at in zip(_where(trades, ended, "instrument"), _where(trades, ended, "exit_time"), strict=True):
        ends.setdefault(name, at)
    notes += [f"{name} stopped trading at {at:%Y-%m-%d %H:%M}: closed there" for name, at in ends.items()]
    notes += _triggers(market, config, trades)
    if currency not in DOLLARS:
        notes.append(f"money is in {currency}, in which these instruments settle")
    names = set(trades["instrument"])
    notes += [
        f"{one.symbol} is converted to {one.settle} by {one.converted_by}"
        for one in market.instruments
        if one.converted_by and one.symbol in names
    ]
    return tuple(notes)
