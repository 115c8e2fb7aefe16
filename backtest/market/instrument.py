"""What is traded and where its data came from: the records shared by everything in market/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import MarketError, UsageError, shortened

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["swap", "spot"]
Tier = tuple[float, float]
"""Notional from which a tier applies, currency of settlement, and its maintenance rate, share of notional."""
Change = tuple[int, tuple[Tier, ...], tuple[Tier, ...]]
"""Instant from which other tiers are in force, milliseconds UTC; the tiers, and the most leverage by notional."""

RECONSTRUCTED = "RECONSTRUCTED"
DOLLARS = ("USDT", "USDC", "USD")
"""Currencies in which amounts are shown without naming the currency."""
_SYMBOL = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{1,20})(?::([A-Z0-9]{1,20}))?")


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded, and the rules of its venue that are known.

    Attributes
    ----------
    symbol, base, quote : str
        Unified ccxt symbol, its coin, and the currency of its prices.
    kind : {"swap", "spot"}
    settle : str
        Currency in which profit, margin, funding and fees are paid: the coin itself for an inverse contract.
    listed_ms, delisted_ms : int or None
        First and last instant of trading, milliseconds UTC; None if unknown.
    omits_empty_bars : bool
        Whether its venue writes no bar when nothing traded, so that a missing bar has volume zero.
    tick, lot, least_notional : float
        Steps of its price, and of its quantity in coins (for an inverse contract in its quote currency, contract size
        included), and the least notional of an order in the currency of settlement; 0 if unknown: then nothing is
        rounded or refused.
    tiers : tuple of (float, float)
        Maintenance margin by notional (`Tier`), the first from 0, rates rising; empty if unknown: then
        `maintenance_margin` of the configuration applies.
    most_leverage : tuple of (float, float)
        Notional from which a leverage is the most that its venue allows, the first from 0, leverages falling; empty if
        unknown: then nothing is refused for it.
    changes : tuple of Change
        Tiers and most leverage that came into force later, in order of time; what comes before is in `tiers` and
        `most_leverage`.
    earlier_names : tuple of (str, float)
        Symbols under which it traded before, and how many of those units equal one of its own (`1000X` is 1000).
    converted_by : str
        Pair or series by which its prices were converted to `quote`, which its symbol does not name; else empty.
    """

    symbol: str
    base: str
    quote: str
    kind: Kind
    settle: str = ""
    listed_ms: int | None = None
    delisted_ms: int | None = None
    omits_empty_bars: bool = False
    tick: float = 0.0
    lot: float = 0.0
    least_notional: float = 0.0
    tiers: tuple[Tier, ...] = ()
    most_leverage: tuple[Tier, ...] = ()
    changes: tuple[Change, ...] = ()
    earlier_names: tuple[tuple[str, float], ...] = ()
    converted_by: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "settle", self.settle or self.quote)
        for name in ("tick", "lot", "least_notional"):
            value = getattr(self, name)
            if not 0.0 <= value < float("inf"):
                raise MarketError(f"{self.symbol}: {name} = {value!r} must be positive and finite, or 0 where unknown")
        # Read from a document, tiers are lists.
        object.__setattr__(self, "tiers", _pairs(self.tiers))
        object.__setattr__(self, "most_leverage", _pairs(self.most_leverage))
        changes = tuple((int(since), _pairs(tiers), _pairs(most)) for since, tiers, most in self.changes)
        object.__setattr__(self, "changes", changes)
        object.__setattr__(self, "earlier_names", tuple((str(name), float(many)) for name, many in self.earlier_names))
        for tiers, most in ((self.tiers, self.most_leverage), *(change[1:] for change in changes)):
            _check_tiers(self.symbol, tiers)
            _check_leverage(self.symbol, most)
        since = [change[0] for change in changes]
        if since != sorted(set(since)):
            raise MarketError(f"{self.symbol}: changes of its tiers must come in order of time, one an instant")

    @classmethod
    def parse(cls, symbol: str) -> Instrument:
        """`ZEC/USDT:USDT` is a swap, `ZEC/USD:ZEC` an inverse one, `ZEC/USDT` spot; else raises `UsageError`."""
        match = _SYMBOL.fullmatch(symbol)
        if match is None:
            raise UsageError(f"{shortened(symbol)} is not a ccxt symbol: write ZEC/USDT:USDT (swap) or ZEC/USDT (spot)")
        return cls(symbol, match[1], match[2], "swap" if match[3] else "spot", match[3] or match[2])

    @property
    def rules(self) -> dict[str, Any]:
        """What is known beyond its symbol, by name: empty if only the symbol is known."""
        named = Instrument.parse(self.symbol)
        names = (item.name for item in fields(self))
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(named, name)}

    def goes_by(self, coin: str) -> bool:
        """Whether a coin is its own, or that of one of its earlier names."""
        return coin == self.base or any(name.partition("/")[0] == coin for name, _ in self.earlier_names)

    @property
    def inverse(self) -> bool:
        """Whether it is a contract on a fixed amount of the quote currency, margined and paid in the coin."""
        return self.kind == "swap" and self.settle == self.base

    @property
    def quanto(self) -> bool:
        """Whether profit is paid in a currency that is neither its quote currency nor its coin."""
        return self.settle not in (self.base, self.quote)


def _pairs(pairs: Sequence[Sequence[float]]) -> tuple[Tier, ...]:
    return tuple((float(floor), float(value)) for floor, value in pairs)


def _check_tiers(symbol: str, tiers: tuple[Tier, ...]) -> None:
    floors, rates = [floor for floor, _ in tiers], [rate for _, rate in tiers]
    if tiers and (floors[0] != 0 or floors != sorted(set(floors)) or rates != sorted(set(rates))):
        raise MarketError(f"{symbol}: tiers = {tiers!r} must begin at a notional of 0 and rise in notional and rate")
    if tiers and not 0 < rates[0] <= rates[-1] < 1:
        raise MarketError(f"{symbol}: maintenance rates {rates!r} must be shares of notional between 0 and 1")


def _check_leverage(symbol: str, most: tuple[Tier, ...]) -> None:
    floors, leverages = [floor for floor, _ in most], [leverage for _, leverage in most]
    falling = leverages == sorted(set(leverages), reverse=True)
    if most and (floors[0] != 0 or floors != sorted(set(floors)) or not falling):
        raise MarketError(f"{symbol}: most_leverage = {most!r} must begin at a notional of 0, rise in it and fall")
    if most and not 1 <= leverages[-1] <= leverages[0] < float("inf"):
        raise MarketError(f"{symbol}: leverages {leverages!r} must be finite and at least 1")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one series of one instrument came from, in words; `series` is `prices` for the four prices together.

    `label` is empty for what was measured at least by days, `RECONSTRUCTED` for what was invented to fit.
    """

    symbol: str
    series: str
    words: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a market came from and what was repaired on the way in.

    `label` is empty for measured data and `RECONSTRUCTED` for a reconstruction; it is shown wherever results are.
    `origins` says it by instrument and series where they differ. `held_against` is what became of a reconstruction when
    it was held against what was measured.
    """

    name: str
    source: str
    label: str = ""
    licence: str = ""
    repairs: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    held_against: str = ""
