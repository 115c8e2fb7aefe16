"""Two sources of the same coins compared: what agrees and how closely, what disagrees and why.

The confidence in a series is a plain count: of all times in the common span at which either source has a value, the
share at which both have one and the two agree. It says how well one source confirms the other, not which is right.

    prices     closes (and mark and index prices) at most the tolerance apart: 0.5 %, 2 % between a perpetual and spot
    amounts    volume, open interest, ratios: within a factor of 3 of their median ratio, since venues differ in size
    rates      funding summed by days: at most 0.02 % or half of the larger apart; premium: at most the tolerance apart
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from backtest.base.errors import UsageError
from backtest.base.units import DAY_MS, UNIT_MS, format_ms
from backtest.market.instrument import DOLLARS, Flags, Floats
from backtest.market.quality import Int64s
from backtest.market.record import Market
from backtest.market.series import SERIES

LEAST = 24
"""Fewest common times for a conclusion."""
TOLERANCE, TOLERANCE_OF_SPOT = 0.005, 0.02
FACTOR = 3.0
DAILY_RATE = 0.0002
HIGH, FAIR = 0.99, 0.9
LARGEST_SHIFT_HOURS = 14
# Log ratios of one source in two units differ only by rounding.
CONSTANT = 0.02
_PRICES, _RATES = ("close", "mark_price", "index_price"), ("funding", "premium")
_ORDER = ("close", "volume", *SERIES)
_SUMMED = ("volume", "funding")


@dataclass(frozen=True, slots=True)
class ComparedSeries:
    """One series of one coin from two sources, A and B.

    Attributes
    ----------
    coin, series : str
    symbols : pair of str
    both, only_a, only_b : int
        Times in the common span with a value from both, or from one only (days for funding).
    ratio : float
        Median of A divided by B; NaN where it has no meaning.
    spread : float
        Median distance: relative for prices, of the log ratio from its median for amounts, absolute for rates.
    cadence_ms : pair of int
        Usual time between values that differ from the previous one; 0 if there are not two.
    longest_gap_ms : pair of int
        Longest time in the common span without a value, beyond one bar.
    confidence : float
        Share in [0, 1] as defined above; NaN with `reason` if fewer than 24 times are common.
    findings : tuple of str
        Systematic disagreement: unit, stamp, cadence, currency.
    """

    coin: str
    series: str
    symbols: tuple[str, str]
    both: int
    only_a: int
    only_b: int
    ratio: float
    spread: float
    cadence_ms: tuple[int, int]
    longest_gap_ms: tuple[int, int]
    confidence: float
    reason: str = ""
    findings: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """`high` from 99 %, `fair` from 90 %, else `low`; also `low` if there is a finding, `unknown` for NaN."""
        if np.isnan(self.confidence):
            return "unknown"
        if self.findings or self.confidence < FAIR:
            return "low"
        return "high" if self.confidence >= HIGH else "fair"


@dataclass(frozen=True, slots=True)
class SourceComparison:
    """Two sources, their common `timeframe`, one record per coin and series, and `notes` for the reader."""

    names: tuple[str, str]
    timeframe: str
    series: tuple[ComparedSeries, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Values of one coin from both sources at the times (K,) of their common span, by series; `bar_ms` apart."""

    coin: str
    symbols: tuple[str, str]
    open_ms: Int64s
    bar_ms: int
    a: Mapping[str, Floats]
    b: Mapping[str, Floats]
    tolerance: float
    same_currency: bool


def compare_markets(
    a: Market, b: Market, coins: tuple[str, ...] = (), tolerance: float | None = None
) -> SourceComparison:
    """Each series that both markets have of each coin (by default of all common ones), on the coarser of their bars.

    Raises
    ------
    UsageError
        If they have no coin, or none of those requested, in common, or neither timeframe is a multiple of the other.
    """
    names = a.provenance.name, b.provenance.name
    bar_ms = max(a.bar_ms, b.bar_ms)
    if bar_ms % a.bar_ms or bar_ms % b.bar_ms:
        raise UsageError(f"bars of {a.timeframe} and {b.timeframe} have no common grid: choose with `timeframe`")
    bases = [[one.base for one in market.instruments] for market in (a, b)]
    common = [coin for coin in dict.fromkeys(bases[0]) if coin in bases[1]]
    absent = [coin for coin in coins if coin not in common]
    if absent or not common:
        have = [", ".join(dict.fromkeys(of_market)) for of_market in bases]
        what = f"coin {absent[0]}" if absent else "coin in common"
        raise UsageError(f"{names[0]} ({have[0]}) and {names[1]} ({have[1]}) have no {what}: name two of one coin")
    found: list[ComparedSeries] = []
    notes: list[str] = []
    for coin in coins or common:
        pair = _paired(a, b, coin, bar_ms, tolerance)
        if pair.open_ms.size == 0:
            notes.append(f"{coin}: {pair.symbols[0]} and {pair.symbols[1]} have no common time")
            continue
        if pair.symbols[0].count(":") != pair.symbols[1].count(":"):
            notes.append(f"{coin}: {pair.symbols[0]} against {pair.symbols[1]}: their basis is a difference of its own")
        found += _series_of(pair)
        notes += [
            f"{coin}: {name} is in {names[alone == 'b']} alone"
            for alone, mine, theirs in (("a", pair.a, pair.b), ("b", pair.b, pair.a))
            for name in _ORDER
            if name in mine and name not in theirs
        ]
    return SourceComparison(names, a.timeframe if a.bar_ms == bar_ms else b.timeframe, tuple(found), tuple(notes))


def _paired(a: Market, b: Market, coin: str, bar_ms: int, tolerance: float | None) -> _Pair:
    """The most similar instruments of a coin: same symbol, else same kind and currency, else the first ones."""
    candidates = [
        ((one.symbol != other.symbol, one.kind != other.kind, one.quote != other.quote), left, right)
        for left, one in enumerate(a.instruments)
        for right, other in enumerate(b.instruments)
        if one.base == other.base == coin
    ]
    _, left, right = min(candidates)
    one, other = a.instruments[left], b.instruments[right]
    span = max(a.start_ms, b.start_ms), min(a.end_ms, b.end_ms)
    start = -(-span[0] // bar_ms) * bar_ms
    open_ms = np.arange(start, span[1] - bar_ms + 1, bar_ms, dtype=np.int64)
    default = TOLERANCE if one.kind == other.kind else TOLERANCE_OF_SPOT
    return _Pair(
        coin,
        (one.symbol, other.symbol),
        open_ms,
        bar_ms,
        _values(a, left, open_ms, bar_ms),
        _values(b, right, open_ms, bar_ms),
        default if tolerance is None else tolerance,
        one.quote == other.quote or {one.quote, other.quote} <= set(DOLLARS),
    )


def _values(market: Market, column: int, open_ms: Int64s, bar_ms: int) -> dict[str, Floats]:
    """Series of an instrument on the common bars: sums of volume and funding, otherwise the value at the close."""
    if open_ms.size == 0:
        return {}
    many = bar_ms // market.bar_ms
    first = (int(open_ms[0]) - market.start_ms) // market.bar_ms
    rows = first + np.arange(open_ms.size * many).reshape(open_ms.size, many)
    spot = market.instruments[column].kind == "spot"
    found: dict[str, Floats] = {}
    for name in _ORDER:
        if name not in market.panels or (spot and name == "funding"):
            continue
        values = market.panel(name)[:, column][rows]
        joined = values.sum(axis=1) if name in _SUMMED else values[:, -1]
        if not np.isnan(joined).all():
            found[name] = joined
    return found


def _series_of(pair: _Pair) -> Iterator[ComparedSeries]:
    for name in _ORDER:
        if name in pair.a and name in pair.b:
            if name == "funding":
                yield _funding(pair)
            elif name in _PRICES:
                yield _prices(pair, name)
            elif name == "premium":
                yield _premium(pair)
            else:
                yield _amounts(pair, name)


def _prices(pair: _Pair, name: str) -> ComparedSeries:
    a, b = pair.a[name], pair.b[name]
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(a / b)
    both = ~np.isnan(log)
    findings = []
    ratio = float(np.exp(np.median(log[both]))) if both.any() else np.nan
    centre = 0.0
    if both.sum() >= LEAST:
        if not pair.same_currency:
            centre = float(np.log(ratio))
            findings.append(f"in two currencies, at {ratio:.6g} of A for one of B: compared around that median")
        elif abs(np.log(ratio)) > 0.1:
            findings.append(
                f"prices of A are {ratio:.4g} times those of B: another currency, another coin under the same name, or "
                "contracts on several coins"
            )
        findings += _shifted(pair, a, b) if name == "close" else []
    agree = both & (np.abs(log - centre) <= pair.tolerance)
    spread = float(np.median(np.abs(log[both] - centre))) if both.any() else np.nan
    return _compared(pair, name, a, b, agree, ratio, spread, findings)


def _shifted(pair: _Pair, a: Floats, b: Floats) -> list[str]:
    """A sentence if the closes agree at another time: stamped with the close of a bar, or in another zone."""
    hours = [hour * UNIT_MS["h"] for hour in range(-LARGEST_SHIFT_HOURS, LARGEST_SHIFT_HOURS + 1)]
    moves = sorted({shift // pair.bar_ms for shift in hours if shift % pair.bar_ms == 0} | {-1, 1}, key=abs)

    def distance(shift: int) -> float:
        mine, theirs = (a[: a.size - shift], b[shift:]) if shift >= 0 else (a[-shift:], b[: b.size + shift])
        if mine.size < LEAST:
            return np.inf
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(np.log(mine / theirs))
        known = apart[~np.isnan(apart)]
        return float(np.median(known)) if known.size >= LEAST else np.inf

    own = distance(0)
    best = min((shift for shift in moves if shift), key=distance)
    if not (own > 0 and distance(best) < own / 5 and distance(best) <= pair.tolerance):
        return []
    late = "A" if best < 0 else "B"
    likely = "its bars are stamped with their close" if abs(best) == 1 else "its times are of another zone"
    return [
        f"closes agree where {late} is taken {duration_words(abs(best) * pair.bar_ms)} earlier "
        f"({distance(best):.2%} apart, {own:.2%} at equal times): {likely}?"
    ]


def _amounts(pair: _Pair, name: str) -> ComparedSeries:
    a, b = pair.a[name], pair.b[name]
    price = pair.b["close"] if "close" in pair.b else np.full(a.size, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.where((a > 0) & (b > 0), np.log(a / b), np.nan)
        log_price = np.log(price)
    known = ~np.isnan(log)
    findings: list[str] = []
    centre = float(np.median(log[known])) if known.any() else np.nan
    spread = float(np.median(np.abs(log[known] - centre))) if known.any() else np.nan
    if known.sum() >= LEAST:
        findings = _unit(name, log[known], log_price[known], centre, spread)
        silent = int(((a == 0) & (b > 0)).sum()), int(((b == 0) & (a > 0)).sum())
        for which, other, count in (("A", "B", silent[0]), ("B", "A", silent[1])):
            if count > 0.05 * known.size:
                findings.append(f"{which} is 0 at {count} moments at which {other} is not")
    agree = (np.abs(log - centre) <= np.log(FACTOR)) | ((a == 0) & (b == 0))
    return _compared(pair, name, a, b, agree, float(np.exp(centre)), spread, findings)


def _unit(name: str, log: Floats, log_price: Floats, centre: float, spread: float) -> list[str]:
    """A sentence if the two are one figure in two units: a ratio that is constant, or constant times the price."""
    if spread < CONSTANT:
        if abs(centre) <= CONSTANT:
            return []
        return [f"{_words(name)} of A is {np.exp(centre):.6g} times that of B throughout: one figure in two units"]
    if name not in ("volume", "open_interest"):
        return []
    for sign, dear, cheap in ((1.0, "A", "B"), (-1.0, "B", "A")):
        rest = log - sign * log_price
        if np.isnan(rest).all():
            continue
        middle = float(np.nanmedian(rest))
        moved = float(np.nanmedian(np.abs(rest - middle)))
        if moved < CONSTANT and moved < spread / 2:
            return [f"{_words(name)} of {dear} is that of {cheap} times the price: {dear} is in quote currency"]
        if abs(middle) < np.log(2.0) and abs(centre) > np.log(8.0):
            return [
                f"{_words(name)} of {dear} is {np.exp(abs(centre)):.4g} times that of {cheap}, about the price: in "
                f"quote currency, unless {dear}'s market is that much larger"
            ]
    return []


def _funding(pair: _Pair) -> ComparedSeries:
    days = pair.open_ms // DAY_MS
    first, place = np.unique(days, return_inverse=True)
    whole = np.bincount(place) * pair.bar_ms == DAY_MS if pair.bar_ms <= DAY_MS else np.zeros(first.size, np.bool_)
    a, b = (
        np.where(whole, np.bincount(place, weights=values), np.nan) for values in (pair.a["funding"], pair.b["funding"])
    )
    both = ~np.isnan(a) & ~np.isnan(b)
    apart = np.abs(a - b)
    larger = np.maximum(np.abs(a), np.abs(b))
    agree = both & (apart <= np.maximum(DAILY_RATE, larger / 2))
    steps = _cadence(pair, pair.a["funding"], settled=True), _cadence(pair, pair.b["funding"], settled=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (np.abs(a) / np.abs(b))[both & (larger > 0)]
    ratio = float(np.median(ratios)) if ratios.size else np.nan
    findings = []
    if both.sum() >= 5 and ratio > 0:
        if min(steps) > 0 and max(steps) / min(steps) >= 2 and abs(np.log(ratio * steps[0] / steps[1])) < np.log(1.5):
            often, seldom = duration_words(min(steps)), duration_words(max(steps))
            frequent, times = "A" if steps[0] < steps[1] else "B", max(ratio, 1 / ratio)
            findings.append(
                f"{frequent} has a rate each {often}, the other each {seldom}, and days sum to {times:.3g} times as "
                f"much: {frequent} samples a running rate?"
            )
        elif not 1 / FACTOR <= ratio <= FACTOR:
            findings.append(
                f"rates of a day are {ratio:.3g} times those of B: percent, per year, or a longer interval?"
            )
        if (np.sign(a) == -np.sign(b))[both & (larger > DAILY_RATE)].mean() > 0.8:
            findings.append("most days have the opposite sign: who pays whom is the other way round in one of them")
    result = _compared(pair, "funding", a, b, agree, ratio, _median(apart[both]), findings, least=5)
    return replace(result, cadence_ms=steps)


def _premium(pair: _Pair) -> ComparedSeries:
    a, b = pair.a["premium"], pair.b["premium"]
    apart = np.abs(a - b)
    return _compared(pair, "premium", a, b, apart <= pair.tolerance, np.nan, _median(apart[~np.isnan(apart)]), [])


def _compared(
    pair: _Pair,
    name: str,
    a: Floats,
    b: Floats,
    agree: Flags,
    ratio: float,
    spread: float,
    findings: list[str],
    *,
    least: int = LEAST,
) -> ComparedSeries:
    has_a, has_b = ~np.isnan(a), ~np.isnan(b)
    both, either = int((has_a & has_b).sum()), int((has_a | has_b).sum())
    enough = both >= least
    bar_ms = DAY_MS if name == "funding" else pair.bar_ms
    return ComparedSeries(
        pair.coin,
        name,
        pair.symbols,
        both,
        int((has_a & ~has_b).sum()),
        int((has_b & ~has_a).sum()),
        ratio,
        spread,
        (_cadence(pair, a), _cadence(pair, b)),
        (_longest(has_a, bar_ms), _longest(has_b, bar_ms)),
        float(agree.sum() / either) if enough else np.nan,
        "" if enough else f"only {both} moments in common, from {format_ms(int(pair.open_ms[0]))}",
        tuple(findings),
    )


def _cadence(pair: _Pair, values: Floats, *, settled: bool = False) -> int:
    """Most common time between new values: different from the previous one, or from zero for settlements."""
    new = values != 0 if settled else np.append(True, values[1:] != values[:-1])
    rows = np.flatnonzero(~np.isnan(values) & new)
    if rows.size < 2:
        return 0
    steps, counts = np.unique(np.diff(rows), return_counts=True)
    return int(steps[np.argmax(counts)]) * pair.bar_ms


def _longest(known: Flags, bar_ms: int) -> int:
    edges = np.flatnonzero(np.concatenate(([True], known, [True])))
    return int(np.diff(edges).max() - 1) * bar_ms


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else np.nan


def _words(name: str) -> str:
    return SERIES[name].words if name in SERIES else name


def duration_words(milliseconds: int) -> str:
    """As in 8h or 90m; 0 is `-`."""
    units = ((unit, UNIT_MS[unit]) for unit in "dhms" if milliseconds and milliseconds % UNIT_MS[unit] == 0)
    return next((f"{milliseconds // size}{unit}" for unit, size in units), "-")
