"""What is traded and where its figures came from: the words that every room of the market shares."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backtest.base.errors import UsageError, shortened

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["swap", "spot"]

RECONSTRUCTED = "RECONSTRUCTED"
DOLLARS = ("USDT", "USDC", "USD")
"""Currencies in which money is shown without saying so."""
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
        First and last instant of trading, milliseconds UTC; None where unknown.
    omits_empty_bars : bool
        Whether its venue writes no bar where nothing traded, so that a missing bar is one of volume zero.
    """

    symbol: str
    base: str
    quote: str
    kind: Kind
    settle: str = ""
    listed_ms: int | None = None
    delisted_ms: int | None = None
    omits_empty_bars: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "settle", self.settle or self.quote)

    @classmethod
    def parse(cls, symbol: str) -> Instrument:
        """`ZEC/USDT:USDT` is a swap, `ZEC/USD:ZEC` an inverse one, `ZEC/USDT` spot; else raises `UsageError`."""
        match = _SYMBOL.fullmatch(symbol)
        if match is None:
            raise UsageError(f"{shortened(symbol)} is not a ccxt symbol: write ZEC/USDT:USDT (swap) or ZEC/USDT (spot)")
        return cls(symbol, match[1], match[2], "swap" if match[3] else "spot", match[3] or match[2])

    @property
    def rules(self) -> dict[str, Any]:
        """What is known of it beyond its symbol, by name: empty for one that is only named."""
        named = Instrument.parse(self.symbol)
        names = (item.name for item in fields(self))
        return {name: getattr(self, name) for name in names if getattr(self, name) != getattr(named, name)}

    @property
    def inverse(self) -> bool:
        """Whether it is a contract on a fixed amount of the quote currency, margined and paid in the coin."""
        return self.kind == "swap" and self.settle == self.base

    @property
    def quanto(self) -> bool:
        """Whether profit is paid in a currency that is neither its quote nor its coin."""
        return self.settle not in (self.base, self.quote)


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
    `origins` says it by instrument and series where they differ.
    """

    name: str
    source: str
    label: str = ""
    licence: str = ""
    repairs: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
