"""Data of the interactive charts: bars, trades, catalysts and equity."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from backtest.catalysts.timing import known_at_ms
from backtest.engine.run import Run
from backtest.market.record import Floats, Market
from backtest.report.html.blocks import PACKING, Explorer
from backtest.report.html.plain import flat
from backtest.scoring.evaluation import Evaluation
from backtest.scoring.excursions import WINDOW_DAYS, excursions, rolling_sharpe

MOST_BARS = 60_000
"""Candles of all instruments together that a page carries: beyond, several bars are joined to a candle."""
MOST_JOINED = 24
"""Bars in a candle at most: beyond, the instruments that were traded least are left out."""
MOST_TRADES = 25_000
_PANES = ("open", "high", "low", "close", "volume", "open_interest", "funding")
_TRADE_FIELDS = ("coin", "strategy", "catalyst", "side", "entry", "exit", "entry_at", "exit_at", "entry_price",
                 "exit_price", "reason", "net", "before", "waited", "captured", "adverse", "favourable")  # fmt: skip


def explorer(evaluation: Evaluation) -> Explorer:
    """The most traded instruments, as many as a page holds, with everything that happened on them."""
    market = evaluation.market
    counts = Counter(symbol for run in evaluation.runs for symbol in run.trades["instrument"])
    ranked = sorted(market.symbols, key=lambda symbol: (-counts[symbol], market.symbols.index(symbol)))
    bars = len(market.index)
    joined = min(max(1, math.ceil(bars * len(ranked) / MOST_BARS)), MOST_JOINED)
    kept = ranked[: max(1, MOST_BARS // math.ceil(bars / joined))]
    trades = [row for place, run in enumerate(evaluation.runs) for row in _trades(run, place, kept, joined, evaluation)]
    document = {
        "start": market.start_ms // 1000,
        "step": market.bar_ms * joined // 1000,
        "capital": evaluation.config.capital,
        "window": WINDOW_DAYS,
        "coins": [_instrument(market, symbol, joined) for symbol in kept],
        "strategies": [_strategy(run, joined) for run in evaluation.runs],
        "catalysts": [
            {
                "id": flat(one.id),
                "kind": one.kind,
                "actor": flat(one.actor),
                "known": None if known is None else known // 1000,
                "coins": [place for place, symbol in enumerate(kept) if _base(symbol) in one.assets],
            }
            for one, known in ((one, known_at_ms(one)) for one in evaluation.calendar)
        ],
        "fields": _TRADE_FIELDS,
        "trades": trades[:MOST_TRADES],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    packed = base64.b64encode(gzip.compress(text.encode(), PACKING, mtime=0)).decode()
    return Explorer(packed, tuple(_notes(market, joined, ranked[len(kept) :], len(trades))))


def _notes(market: Market, joined: int, left_out: Sequence[str], trades: int) -> list[str]:
    notes = []
    if joined > 1:
        notes.append(f"Each candle joins {joined} bars of {market.timeframe}.")
    if left_out:
        notes.append(f"Not carried, because they were traded least: {', '.join(left_out)}.")
    if trades > MOST_TRADES:
        notes.append(f"The first {MOST_TRADES:,} of {trades:,} trades are carried; the CSV files hold all.")
    return notes


def _base(symbol: str) -> str:
    return symbol.partition("/")[0]


def _instrument(market: Market, symbol: str, joined: int) -> dict[str, Any]:
    column = market.column(symbol)
    how: dict[str, Callable[[Floats, int], Floats]] = {
        "open": _firsts,
        "high": _reduced(np.fmax),
        "low": _reduced(np.fmin),
        "close": _lasts,
        "volume": _sums,
        "open_interest": _lasts,
        "funding": _sums,
    }
    return {"name": symbol, **{name: _plain(how[name](market.panel(name)[:, column], joined)) for name in _PANES}}


def _cells(values: Floats, joined: int) -> Floats:
    """(C, joined) values, NaN after the last."""
    padded = np.full(-(-len(values) // joined) * joined, np.nan)
    padded[: len(values)] = values
    return padded.reshape(-1, joined)


def _reduced(join: np.ufunc) -> Callable[[Floats, int], Floats]:
    return lambda values, joined: np.asarray(join.reduce(_cells(values, joined), axis=1))


def _sums(values: Floats, joined: int) -> Floats:
    cells = _cells(values, joined)
    return np.where(np.isnan(cells).all(axis=1), np.nan, np.nansum(cells, axis=1))


def _lasts(values: Floats, joined: int) -> Floats:
    return _firsts_of(_cells(values, joined)[:, ::-1])


def _firsts(values: Floats, joined: int) -> Floats:
    return _firsts_of(_cells(values, joined))


def _firsts_of(cells: Floats) -> Floats:
    """(C,) first known value of each row, NaN where there is none."""
    return np.asarray(np.take_along_axis(cells, (~np.isnan(cells)).argmax(axis=1)[:, None], axis=1)[:, 0])


def _plain(values: Floats, digits: int = 6) -> list[float | None]:
    """Numbers rounded to so many significant digits, as `format` rounds them; null where unknown."""
    size = np.abs(values)
    easy = (size > 1e-12) & (size < 1e15)
    known = np.where(easy, values, 1.0)
    power = digits - 1 - np.floor(np.log10(np.abs(known)))
    # Exact up to the 22nd power of ten, so that a whole number over it is the double nearest to its decimal.
    scale = 10.0 ** np.abs(power)
    shifted = np.where(power < 0, known / scale, known * scale)
    whole = np.rint(shifted)
    plain = np.where(easy, np.where(power < 0, whole * scale, whole / scale), values).tolist()
    # Beside a tie the shift's own rounding would decide.
    for place in np.flatnonzero((size > 0) & ~easy | (np.abs(shifted - whole) > 0.499999)):
        plain[place] = float(f"{values[place]:.{digits}g}")
    return [None if one != one else one for one in plain]


def _strategy(run: Run, joined: int) -> dict[str, Any]:
    """Growth since the start and fall from the highest so far, candle by candle; rolling Sharpe ratio by day."""
    market, held = run.market, np.asarray(run.book.equity, dtype=np.float64)
    peak = np.maximum(np.maximum.accumulate(held), run.config.capital)
    ratios = rolling_sharpe(run)
    # The candle in which each day ended, so that both charts share one time axis.
    step, last = market.bar_ms * joined // 1000, math.ceil(len(held) / joined) - 1
    by_candle = {
        min((int(at.timestamp()) - 1 - market.start_ms // 1000) // step, last): value
        for at, value in zip(pd.DatetimeIndex(ratios.index), _plain(np.asarray(ratios), 4), strict=True)
        if value is not None
    }
    return {
        "name": flat(run.strategy),
        "growth": _plain(_lasts(np.asarray(held / run.config.capital - 1.0), joined), 5),
        "drawdown": _plain(_reduced(np.fmin)(np.asarray(held / peak - 1.0), joined), 4),
        "sharpe": list(by_candle.items()),
    }  # fmt: skip


def _trades(run: Run, place: int, kept: Sequence[str], joined: int, evaluation: Evaluation) -> list[list[Any]]:
    """Rows of `_TRADE_FIELDS`: places of coin, strategy and catalyst, candles, UTC seconds, prices and shares."""
    market, table = run.market, run.trades
    coins = {symbol: number for number, symbol in enumerate(kept)}
    catalysts = {one.id: number for number, one in enumerate(evaluation.calendar)}
    far = excursions(run)
    names = ("net_return", "before", "waited", "captured")
    shares = [_plain(table[name].to_numpy(dtype=np.float64), 5) for name in names]
    shares += [_plain(far.adverse, 5), _plain(far.favourable, 5)]
    prices = [_plain(table[name].to_numpy(dtype=np.float64), 8) for name in ("entry_price", "exit_price")]
    step, start = market.bar_ms * joined // 1000, market.start_ms // 1000
    rows = []
    for number, one in enumerate(table.to_dict("records")):
        if one["instrument"] not in coins:
            continue
        entered, left = (int(one[name].timestamp()) for name in ("entry_time", "exit_time"))
        # What leaves at a bar's close leaves in that bar, though its time is the next one's open.
        within = left - 1 if one["exit_phase"] == "close" else left
        rows.append(
            [
                coins[one["instrument"]],
                place,
                catalysts.get(one["catalyst_id"]),
                int(one["side"]),
                *((at - start) // step for at in (entered, within)),
                entered,
                left,
                *(values[number] for values in prices),
                str(one["reason"]).replace("_", " "),
                *(values[number] for values in shares),
            ]
        )
    return rows
