"""Synthetic control: a catalyst's coin less the basket of untreated coins that moved most like it before.

Weights on the donors are at least 0 and sum to 1, fitted to log returns over the estimation window: Abadie, Diamond and
Hainmueller, Journal of the American Statistical Association 105(490) (2010), 493-505, doi:10.1198/jasa.2009.ap08746. A
coin with a catalyst of its own in the catalyst's windows is no donor. The basket can be traded, so the effect reads as
"the coin minus its sector hedge".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.units import DAY_MS, duration_ms
from backtest.catalysts.record import Calendar, Catalyst
from backtest.catalysts.timing import known_at_ms
from backtest.market.record import Floats, Market
from backtest.signals.strategy import Intent, Intents
from backtest.study.alignment import FitRow, place, resample
from backtest.study.models import Ints, Windows
from backtest.study.multiplicity import placebo_p
from backtest.study.sample import chosen_catalysts
from backtest.study.settings import StudyConfig

FEWEST_DONORS = 3
# Weight of the row that makes the donors' weights sum to 1, against the scale of the returns.
_SUM = 1e4


def simplex_weights(treated: Floats, donors: Floats) -> Floats:
    """(J,) weights w >= 0 with sum 1 that minimise |treated - donors w|^2 over (E,) and (E, J) known returns.

    Non-negative least squares with the sum as one more, heavy row: Lawson and Hanson, Solving Least Squares Problems
    (1974), chapter 23.
    """
    from scipy.optimize import nnls

    heavy = _SUM * max(float(np.abs(donors).max(initial=0.0)), 1e-12)
    rows = np.vstack((donors, np.full((1, donors.shape[1]), heavy)))
    weights, _ = nnls(rows, np.append(treated, heavy))
    return np.asarray(weights / weights.sum())


def gaps(returns: Floats, column: int, donors: Ints, onset: int, width: int, windows: Windows) -> tuple[Floats, Floats]:
    """Gap of a column to its control over the estimation window (E,) and over the event window (W,), NaN where unknown.

    Bars 0 to `width` - 1 of the event window are summed into its bar 0.
    """
    rows = np.arange(onset + windows.start, onset + windows.last + width)
    own, others = returns[rows, column], returns[np.ix_(rows, donors)]
    before = slice(0, windows.estimation)
    known = ~(np.isnan(own[before]) | np.isnan(others[before]).any(axis=1))
    weights = simplex_weights(own[before][known], others[before][known])
    gap = own - others @ weights
    event = gap[windows.estimation + windows.gap :]
    first = -windows.first
    merged = np.concatenate((event[:first], [event[first : first + width].sum()], event[first + width :]))
    return gap[before][known], merged


def effects_of(before: Floats, event: Floats, windows: Windows, spans: Ints, width: int = 1) -> tuple[Floats, Floats]:
    """Summed gap over each span (V,) and the root mean square of the gap's sums over as many bars before it (V,).

    Bar 0 of the event window counts as `width` bars.
    """
    effect = np.array([event[first - windows.first : last - windows.first + 1].sum() for first, last in spans])
    error = np.empty(len(spans))
    for place_of, (first, last) in enumerate(spans):
        bars = last - first + 1 + (width - 1 if first <= 0 <= last else 0)
        sums = np.convolve(before, np.ones(bars), mode="valid") if len(before) >= bars else np.empty(0)
        error[place_of] = np.sqrt(np.mean(np.square(sums))) if len(sums) else np.nan
    return effect, error


@checked
def synthetic_controls(market: Market, calendar: Calendar, config: StudyConfig | None = None) -> pd.DataFrame:
    """One row per catalyst of one coin and a span: effect, error before, donors with weights, and two placebo p.

    `effect` is the summed gap, log return; `error` the root mean square of the gap summed over as many bars of the
    estimation window. `space_p` is the rank of |effect| / error among the donors' own, each against the other donors;
    `time_p` among the same coin's on every other whole day whose windows lie inside the data, with the same donors.
    Both are two-sided and count the observed. NaN with the `reason` where fewer than three donors are left. The filters
    of the configuration choose the rows; a coin with any catalyst of the calendar is no donor.
    """
    config = config or StudyConfig()
    panel = resample(market, config.timeframe)
    windows, spans, names = config.windows(panel.bar_ms), config.spans(panel.bar_ms), config.span_names()
    returns = np.full(panel.close.shape, np.nan)
    returns[1:] = np.diff(np.log(panel.close), axis=0)
    placed = [(one, row) for one in calendar if (row := place(one, (), panel)) is not None]
    rows = []
    chosen = {one.id for one in chosen_catalysts(calendar, config)}
    for one, row in placed:
        if one.id not in chosen:
            continue
        column = market.column_of(one.assets[0]) if len(one.assets) == 1 else None
        if column is None or not _inside(row, windows, len(returns)):
            continue
        donors = _donors(returns, market, column, row, placed, windows)
        if len(donors) < FEWEST_DONORS:
            why = f"{len(donors)} donors without a catalyst of their own, at least {FEWEST_DONORS} are needed"
            rows += [(one.id, one.assets[0], name, np.nan, np.nan, "", np.nan, np.nan, why) for name in names]
            continue
        before, event = gaps(returns, column, donors, row.onset, row.width, windows)
        effect, error = effects_of(before, event, windows, spans, row.width)
        space = [
            _ratio(
                *gaps(returns, donor, donors[donors != donor], row.onset, row.width, windows), windows, spans, row.width
            )
            for donor in donors
        ]
        step = max(DAY_MS // panel.bar_ms, 1)
        moved = [replace(row, onset=at) for at in range(row.onset % step, len(returns), step) if at != row.onset]
        time = [
            _ratio(*gaps(returns, column, donors, other.onset, row.width, windows), windows, spans, row.width)
            for other in moved
            if _inside(other, windows, len(returns))
        ]
        weights = simplex_weights(*_known(returns, column, donors, row, windows))
        told = " ".join(
            f"{market.instruments[donor].base}:{weight:.2f}"
            for donor, weight in zip(donors, weights, strict=True)
            if weight >= 0.005
        )
        p = [placebo_p(effect / error, np.array(draws).reshape(-1, len(spans))) for draws in (space, time)]
        rows += [
            (one.id, one.assets[0], name, effect[v], error[v], told, p[0][v], p[1][v], "")
            for v, name in enumerate(names)
        ]
    columns = ["catalyst_id", "asset", "span", "effect", "error", "donors", "space_p", "time_p", "reason"]
    return pd.DataFrame(rows, columns=columns)


@checked
def hedge_intents(controls: pd.DataFrame, market: Market, calendar: Calendar, *, weight: float, hold: str) -> Intents:
    """Long the coin and short its control, leg by leg, from when each catalyst was known: the effect as a trade.

    `controls` are rows of `synthetic_controls`; weights end before the catalyst, so each decision knew them. The coin
    has `weight` of equity and its donors as much together; donors below half a per cent are left out. Legs of one
    catalyst enter and leave together after `hold`. A catalyst without a control has no intents but a note.
    """
    rows, notes = [], []
    for name, parts in controls.groupby("catalyst_id", sort=False):
        known, donors = known_at_ms(calendar[str(name)]), str(parts["donors"].iloc[0])
        if not donors or known is None:
            notes.append(f"{name}: no hedge, {parts['reason'].iloc[0]}")
            continue
        shares = {coin: float(share) for coin, share in (part.split(":") for part in donors.split())}
        legs = [(str(parts["asset"].iloc[0]), 1, weight)]
        legs += [(coin, -1, weight * share / sum(shares.values())) for coin, share in shares.items()]
        for coin, side, size in legs:
            column = market.column_of(coin)
            assert column is not None
            rows.append(
                Intent(
                    instrument=market.symbols[column],
                    decided_at_ms=known,
                    side=side,
                    weight=size,
                    hold_ms=duration_ms(hold),
                    catalyst_id=str(name),
                    group=f"hedged {name}",
                )
            )
    return Intents(tuple(rows), tuple(notes))


def _ratio(before: Floats, event: Floats, windows: Windows, spans: Ints, width: int) -> Floats:
    effect, error = effects_of(before, event, windows, spans, width)
    return np.asarray(effect / error)


def _inside(row: FitRow, windows: Windows, bars: int) -> bool:
    return row.onset + windows.start >= 1 and row.onset + windows.last + row.width <= bars


def _known(returns: Floats, column: int, donors: Ints, row: FitRow, windows: Windows) -> tuple[Floats, Floats]:
    rows = np.arange(row.onset + windows.start, row.onset + windows.start + windows.estimation)
    own, others = returns[rows, column], returns[np.ix_(rows, donors)]
    known = ~(np.isnan(own) | np.isnan(others).any(axis=1))
    return own[known], others[known]


def _donors(
    returns: Floats,
    market: Market,
    column: int,
    row: FitRow,
    placed: Sequence[tuple[Catalyst, FitRow]],
    windows: Windows,
) -> Ints:
    """Columns of other coins, once each, without a catalyst in the event window and with every bar of the windows."""
    first, last = row.onset + windows.first, row.onset + row.width - 1 + windows.last
    treated = {asset for one, other in placed if other.onset <= last and other.onset + other.width > first
               for asset in one.assets}  # fmt: skip
    seen = {market.instruments[column].base}
    rows = np.arange(row.onset + windows.start, last + 1)
    found = []
    for place_of, instrument in enumerate(market.instruments):
        if instrument.base not in seen | treated and not np.isnan(returns[rows, place_of]).any():
            seen.add(instrument.base)
            found.append(place_of)
    return np.array(found, dtype=np.int64)
