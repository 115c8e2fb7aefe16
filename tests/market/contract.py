"""What every data source promises; a source inherits `SourceContract` and declares how it is given a sample.

The sample is a day and a quarter of hours of one perpetual: one bar is missing, funding settles every eight hours with
one settlement lost, and open interest is sampled hourly with five hours lost. Its truth is written here by hand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from backtest.base.errors import MarketError
from backtest.market.record import Market

HOUR = 3_600_000
START = 1_759_276_800_000  # 2025-10-01 00:00 UTC
HOURS = 30
MISSING = 7
SYMBOL = "ZEC/USDT:USDT"


@dataclass(frozen=True)
class Sample:
    """Rows to put into a source: bars (open_ms, open, high, low, close, volume), settlements, and OI samples."""

    bars: tuple[tuple[int, float, float, float, float, float], ...]
    funding: tuple[tuple[int, float], ...]
    open_interest: tuple[tuple[int, float, float], ...]


def price(hour: int) -> tuple[float, float, float, float]:
    """Open, high, low and close of an hour."""
    return 400.0 + hour, 404.5 + hour, 396.5 + hour, 401.0 + hour


SAMPLE = Sample(
    tuple((START + hour * HOUR, *price(hour), 10.0 + hour) for hour in range(HOURS) if hour != MISSING),
    # Settled at 00:00 of the day before, then every eight hours; that of 08:00 is lost.
    tuple((START + hour * HOUR, 0.0001 * (hour / 8 + 5)) for hour in (-24, -16, -8, 0, 16, 24, 32)),
    tuple((START + hour * HOUR, 1000.0 + hour, 500_000.0 + hour) for hour in range(-1, HOURS) if not 12 <= hour < 17),
)


def contradicted() -> Sample:
    """The sample with a fourth bar whose high is below its low."""
    bars = list(SAMPLE.bars)
    bars[3] = (bars[3][0], 403.0, 396.0, 407.5, 404.0, 13.0)
    return replace(SAMPLE, bars=tuple(bars))


class SourceContract(ABC):
    """Promises of a source; `carries` are the contents besides bars that it can hold."""

    carries: ClassVar[frozenset[str]] = frozenset({"funding", "open_interest"})

    @abstractmethod
    def market(self, sample: Sample, folder: Path) -> Market:
        """The market that the source gives of a sample, in a folder of its own."""

    @pytest.fixture
    def one(self, tmp_path: Path) -> Market:
        return self.market(SAMPLE, tmp_path)

    def test_bars_come_back_as_they_are_on_a_grid_of_utc(self, one: Market) -> None:
        column = one.column(SYMBOL)
        assert (one.timeframe, str(one.index.tz)) == ("1h", "UTC")
        assert one.open_ms.tolist() == [START + hour * HOUR for hour in range(HOURS)]
        for hour in range(HOURS):
            found = [float(getattr(one, name)[hour, column]) for name in ("open", "high", "low", "close", "volume")]
            wanted = [*price(hour), 10.0 + hour] if hour != MISSING else [np.nan] * 5
            np.testing.assert_array_equal(found, wanted)

    def test_a_missing_bar_is_a_row_of_nan_and_nothing_is_carried_over_it(self, one: Market) -> None:
        assert np.isnan(one.close[MISSING, one.column(SYMBOL)])
        assert np.isnan(one.close).sum() == 1

    def test_panels_cannot_be_written(self, one: Market) -> None:
        with pytest.raises(ValueError, match="read-only"):
            one.close[0, 0] = 1.0

    def test_the_same_sample_gives_the_same_market(self, one: Market, tmp_path: Path) -> None:
        (tmp_path / "again").mkdir()
        assert self.market(SAMPLE, tmp_path / "again").sha256() == one.sha256()

    def test_the_source_is_named(self, one: Market) -> None:
        assert one.provenance.source

    def test_funding_is_the_rate_of_the_bar_that_closes_at_it_and_unknown_where_one_is_lost(self, one: Market) -> None:
        rates = one.funding[:, one.column(SYMBOL)]
        if "funding" not in self.carries:
            assert np.isnan(rates).all()
            return
        # 24:00 closes the bar of 23:00; between 00:00 and 16:00 one settlement is lost: unknown, not zero.
        assert rates[23] == pytest.approx(0.0001 * 8, rel=1e-12)
        assert rates[16:23].tolist() == [0.0] * 7
        assert np.isnan(rates[:16]).all()

    def test_open_interest_is_known_one_period_after_its_stamp_and_stale_after_two_more(self, one: Market) -> None:
        known = one.open_interest[:, one.column(SYMBOL)]
        if "open_interest" not in self.carries:
            assert np.isnan(known).all()
            return
        # The sample stamped with the hour is known at its close.
        assert known[:12].tolist() == [500_000.0 + hour for hour in range(12)]
        # That of 11:00, known at 12:00, is two periods old at 14:00 and unknown after that.
        assert known[12:14].tolist() == [500_011.0, 500_011.0]
        assert np.isnan(known[14:17]).all()
        assert known[17] == 500_017.0

    def test_what_comes_later_changes_nothing_before(self, one: Market, tmp_path: Path) -> None:
        cut = START + 20 * HOUR
        early = replace(
            SAMPLE,
            bars=tuple(row for row in SAMPLE.bars if row[0] < cut),
            open_interest=tuple(row for row in SAMPLE.open_interest if row[0] < cut),
        )
        (tmp_path / "early").mkdir()
        first = self.market(early, tmp_path / "early")
        rows = len(first.index)
        assert rows == 20
        np.testing.assert_array_equal(first.close, one.close[:rows])
        np.testing.assert_array_equal(first.open_interest, one.open_interest[:rows])

    def test_a_high_below_its_low_is_refused_and_named(self, tmp_path: Path) -> None:
        with pytest.raises(MarketError, match=r"high 396(\.0)? is below low 407\.5"):
            self.market(contradicted(), tmp_path)
