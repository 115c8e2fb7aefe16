"""Two sources of one coin: what agrees is counted, and each planted disagreement is named."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from backtest.base.errors import UsageError
from backtest.market.comparing import ComparedSeries, SourceComparison, compare_markets
from backtest.market.record import Market

HOURS = 24 * 40
INDEX = pd.date_range("2025-10-01", periods=HOURS, freq="h", tz="UTC")


def bars(seed: int = 1, noise: float = 0.0004, size: float = 1.0) -> pd.DataFrame:
    """A walk that every seed shares, with a venue's own noise on it."""
    walk = np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.01, HOURS + 1)) + np.log(400.0))
    own = np.random.default_rng(seed)
    close = walk[1:] * np.exp(own.normal(0, noise, HOURS))
    open_ = walk[:-1] * np.exp(own.normal(0, noise, HOURS))
    traded = np.exp(np.random.default_rng(8).normal(5, 0.8, HOURS)) * np.exp(own.normal(0, 0.2, HOURS)) * size
    top, bottom = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    frame = {"open": open_, "high": top, "low": bottom, "close": close, "volume": traded}
    return pd.DataFrame(frame, index=INDEX)


def market(frame: pd.DataFrame, symbol: str = "ZEC/USDT:USDT", **more: dict[str, pd.Series]) -> Market:
    return Market.from_frames({symbol: frame}, **more)


def one(found: SourceComparison, name: str) -> ComparedSeries:
    return next(series for series in found.series if series.series == name)


def test_two_venues_that_agree_have_high_confidence_and_no_finding() -> None:
    found = compare_markets(market(bars(1)), market(bars(2, size=0.3)))
    close, volume = one(found, "close"), one(found, "volume")
    assert (close.both, close.only_a, close.only_b, close.word, close.findings) == (HOURS, 0, 0, "high", ())
    assert close.ratio == pytest.approx(1, abs=1e-4)
    # The median of |N(0, s)| is 0.6745 s, and the difference of two has s = sqrt(2) 0.0004.
    assert close.spread == pytest.approx(0.6745 * np.sqrt(2) * 0.0004, rel=0.1)
    assert volume.ratio == pytest.approx(1 / 0.3, rel=0.05)
    assert (volume.word, volume.findings) == ("high", ())
    assert close.cadence_ms == (3_600_000, 3_600_000)


def test_a_gap_lowers_the_confidence_by_its_share_and_its_length_is_told() -> None:
    gapped = bars(2)
    gapped.iloc[100:148] = np.nan
    close = one(compare_markets(market(bars(1)), market(gapped)), "close")
    assert (close.both, close.only_a, close.only_b) == (HOURS - 48, 48, 0)
    assert close.longest_gap_ms == (0, 48 * 3_600_000)
    assert close.confidence == pytest.approx(1 - 48 / HOURS)
    assert close.word == "fair"


def test_wrong_prices_are_counted() -> None:
    off = bars(2)
    off.iloc[::4, :4] *= 1.02
    close = one(compare_markets(market(bars(1)), market(off)), "close")
    assert close.confidence == pytest.approx(0.75)
    assert close.word == "low"
    assert one(compare_markets(market(bars(1)), market(off), (), 0.05), "close").word == "high"


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (1, "where B is taken 1h earlier .* its bars are stamped with their close"),
        (-1, "where A is taken 1h earlier .* its bars are stamped with their close"),
        (8, "where B is taken 8h earlier .* its times are of another zone"),
        (-5, "where A is taken 5h earlier .* its times are of another zone"),
    ],
)
def test_a_shift_of_time_is_named(shift: int, words: str) -> None:
    moved = bars(2)
    moved.index = moved.index + pd.Timedelta(hours=shift)
    close = one(compare_markets(market(bars(1)), market(moved)), "close")
    assert close.word == "low"
    (finding,) = close.findings
    assert re.search(words, finding)


def test_units_of_volume_are_told_by_arithmetic() -> None:
    mine = bars(1)
    cases = {
        "one figure in two units": mine.assign(volume=mine.volume * 10),
        "volume of B is that of A times the price: B is in quote currency": mine.assign(
            volume=mine.volume * mine.close
        ),
        "about the price: in quote currency, unless B": bars(2).assign(volume=bars(2).volume * bars(2).close),
    }
    for words, theirs in cases.items():
        volume = one(compare_markets(market(mine), market(theirs)), "volume")
        assert any(words in finding for finding in volume.findings), (words, volume.findings)
        assert volume.word == "low"
    silent = bars(2)
    silent.loc[silent.index[::5], "volume"] = 0.0
    assert "B is 0 at 192 moments" in one(compare_markets(market(mine), market(silent)), "volume").findings[0]


def test_prices_of_another_unit_or_currency_are_named() -> None:
    thousand = bars(2)
    thousand.iloc[:, :4] *= 1000
    close = one(compare_markets(market(bars(1)), market(thousand)), "close")
    assert "prices of A are 0.001 times those of B" in close.findings[0]
    assert close.confidence == 0.0
    euros = bars(2)
    euros.iloc[:, :4] *= 0.86
    close = one(compare_markets(market(bars(1)), market(euros, "ZEC/EUR:EUR")), "close")
    assert "in two currencies, at 1.16" in close.findings[0]
    assert close.confidence == 1.0


def funding(hours: int, factor: float = 1.0, seed: int = 3) -> dict[str, pd.Series]:
    stamps = INDEX[::hours]
    base = np.repeat(np.random.default_rng(seed).normal(0.0001, 0.0003, HOURS // 8 + 1), 8 // hours)[: len(stamps)]
    return {"ZEC/USDT:USDT": pd.Series(base * factor, index=stamps)}


def test_funding_is_compared_by_days_and_a_sampled_rate_is_named() -> None:
    mine = market(bars(1), funding=funding(8))
    same = one(compare_markets(mine, market(bars(2), funding=funding(8))), "funding")
    assert (same.word, same.cadence_ms, same.ratio) == ("high", (28_800_000, 28_800_000), 1.0)
    # An 8 h rate written down each hour: eight times as much in a day.
    sampled = one(compare_markets(mine, market(bars(2), funding=funding(1))), "funding")
    assert "B has a rate each 1h, the other each 8h" in sampled.findings[0]
    assert "B samples a running rate" in sampled.findings[0]
    # A venue that settles an eighth of it each hour is no finding.
    hourly = one(compare_markets(mine, market(bars(2), funding=funding(1, 1 / 8))), "funding")
    assert hourly.findings == ()
    percent = one(compare_markets(mine, market(bars(2), funding=funding(8, 100.0))), "funding")
    assert "percent, per year" in percent.findings[0]
    turned = one(compare_markets(mine, market(bars(2), funding=funding(8, -1.0))), "funding")
    assert "opposite sign" in turned.findings[0]


def test_spot_against_a_perpetual_has_a_wider_tolerance_and_says_so() -> None:
    basis = bars(2)
    basis.iloc[:, :4] *= 1.01
    found = compare_markets(market(bars(1)), market(basis, "ZEC/USDT"))
    assert one(found, "close").word == "high"
    assert "their basis is a difference of its own" in found.notes[0]


def test_finer_bars_are_taken_together() -> None:
    fine = bars(2)
    coarse = fine.resample("4h").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    found = compare_markets(market(fine), market(coarse))
    assert found.timeframe == "4h"
    assert (one(found, "close").both, one(found, "close").spread) == (HOURS // 4, 0.0)
    assert one(found, "volume").ratio == pytest.approx(1.0)


def test_too_little_in_common_is_unknown_with_a_reason() -> None:
    close = one(compare_markets(market(bars(1)), market(bars(2).iloc[:10])), "close")
    assert (close.word, close.reason) == ("unknown", "only 10 moments in common, from 2025-10-01 00:00")
    later = bars(2)
    later.index = later.index + pd.Timedelta(days=100)
    found = compare_markets(market(bars(1)), market(later))
    assert (found.series, found.notes) == ((), ("ZEC: ZEC/USDT:USDT and ZEC/USDT:USDT have no common time",))


def test_no_common_coin_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"\(ZEC\) and .* \(DASH\) have no coin in common"):
        compare_markets(market(bars(1)), market(bars(2), "DASH/USDT:USDT"))
    with pytest.raises(UsageError, match="have no coin XMR"):
        compare_markets(market(bars(1)), market(bars(2)), ("XMR",))
