"""Several markets as one, so that spot can be used beside the perpetuals of another folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.documents import user_path
from backtest.base.errors import MarketError
from backtest.market.dataset import open_dataset
from backtest.market.record import Market, Provenance, fields_of
from backtest.market.series import SERIES


@checked
def join(markets: Sequence[Market]) -> Market:
    """One market of the instruments of several, in order, on the union of their grids.

    Bars outside the span of a market are NaN; there, spot keeps its funding of 0. If any of them is labelled, the
    joined market is.

    Raises
    ------
    MarketError
        If there is none, if timeframes or grids differ, or if an instrument is in two of them.
    """
    if not markets:
        raise MarketError("there is no market to join: give at least one")
    first = markets[0]
    for other in markets[1:]:
        if other.timeframe != first.timeframe or (other.start_ms - first.start_ms) % first.bar_ms:
            raise MarketError(
                f"market {other.provenance.name!r} has bars of {other.timeframe} from {other.index[0]}, which do not "
                f"fit those of {first.timeframe} from {first.index[0]} of {first.provenance.name!r}: join equal grids"
            )
    start, end = min(one.start_ms for one in markets), max(one.end_ms for one in markets)
    open_ms = np.arange(start, end, first.bar_ms, dtype=np.int64)
    instruments = tuple(instrument for one in markets for instrument in one.instruments)
    carried = dict.fromkeys(name for one in markets for name in one.panels)
    panels = {name: np.full((len(open_ms), len(instruments)), np.nan) for name in carried}
    spot = [column for column, one in enumerate(instruments) if one.kind == "spot"]
    for name in carried:
        if name in SERIES:
            panels[name][:, spot] = SERIES[name].of_spot
    left = 0
    for one in markets:
        row = (one.start_ms - start) // one.bar_ms
        cells = slice(row, row + len(one.index)), slice(left, left + len(one.instruments))
        for name, panel in panels.items():
            panel[cells] = one.panel(name)
        left += len(one.instruments)
    return Market(
        index=pd.DatetimeIndex(open_ms.astype("datetime64[ms]"), tz="UTC"),
        timeframe=first.timeframe,
        instruments=instruments,
        provenance=_provenance([one.provenance for one in markets]),
        auxiliary={name: series for one in markets for name, series in one.auxiliary.items()},
        **fields_of(panels),
    )


def open_datasets(text: str, timeframe: str | None = None, store: Path | None = None) -> Market:
    """Market of one dataset, or of several joined by `+`, as in `perpetuals+spot`; see `open_dataset`."""
    if "+" not in text or os.path.exists(user_path(text)):
        return open_dataset(text, timeframe, store)
    return join([open_dataset(part, timeframe, store) for part in text.split("+")])


def _provenance(parts: Sequence[Provenance]) -> Provenance:
    def joined(field: str, between: str) -> str:
        return between.join(dict.fromkeys(text for part in parts if (text := getattr(part, field))))

    repairs = tuple(repair for part in parts for repair in part.repairs)
    return Provenance(
        "+".join(part.name for part in parts),
        joined("source", "; "),
        joined("label", ", "),
        joined("licence", "; "),
        repairs,
        tuple(origin for part in parts for origin in part.origins),
        joined("held_against", "; "),
    )
