"""One `Market` from the series of single instruments: the last step of every source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from backtest.market.align import InstrumentData, align
from backtest.market.record import Market, Provenance, fields_of


def assemble(provenance: Provenance, timeframe: str, series: Sequence[InstrumentData]) -> Market:
    """Market of the series, aligned by `align`; its repairs are added to those of the provenance.

    Raises
    ------
    MarketError
        As `align`.
    """
    aligned = align(provenance.name, timeframe, series)
    return Market(
        index=pd.DatetimeIndex(aligned.open_ms.astype("datetime64[ms]"), tz="UTC"),
        timeframe=timeframe,
        instruments=tuple(one.instrument for one in series),
        provenance=replace(provenance, repairs=provenance.repairs + aligned.repairs),
        **fields_of(aligned.panels),
    )
