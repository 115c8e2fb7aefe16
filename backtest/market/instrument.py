"""What is traded and where its figures came from: the words that every room of the market shares."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from backtest.errors import UsageError, shortened

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Kind = Literal["swap", "spot"]

RECONSTRUCTED = "RECONSTRUCTED"
_SYMBOL = re.compile(r"([A-Z0-9]{1,20})/([A-Z0-9]{1,20})(?::([A-Z0-9]{1,20}))?")


@dataclass(frozen=True, slots=True)
class Instrument:
    """What is traded: a unified ccxt symbol with its base coin, quote and kind."""

    symbol: str
    base: str
    quote: str
    kind: Kind

    @classmethod
    def parse(cls, symbol: str) -> Instrument:
        """`ZEC/USDT:USDT` is a swap, `ZEC/USDT` is spot; anything else raises `UsageError`."""
        match = _SYMBOL.fullmatch(symbol)
        if match is None:
            raise UsageError(f"{shortened(symbol)} is not a ccxt symbol: write ZEC/USDT:USDT (swap) or ZEC/USDT (spot)")
        return cls(symbol, match[1], match[2], "swap" if match[3] else "spot")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a market came from and what was repaired on the way in.

    `label` is empty for measured data and `RECONSTRUCTED` for a reconstruction; it is shown wherever results are.
    """

    name: str
    source: str
    label: str = ""
    licence: str = ""
    repairs: tuple[str, ...] = ()
