"""Every refusal and repair of the policy table, and what is known when, by hand arithmetic on small tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.base.errors import MarketError
from backtest.market.align import funding_coverage, funding_per_bar, open_interest_at_close
from backtest.market.quality import (
    CheckedFunding,
    OpenInterest,
    RawTable,
    clean_bars,
    clean_funding,
    clean_open_interest,
    epoch_ms,
    snap,
)

HOUR = 3_600_000
MIDNIGHT = 1_759_276_800_000  # 2025-10-01 00:00 UTC
NAN = float("nan")
INF = float("inf")
BAR = (10.0, 12.0, 9.0, 11.0, 5.0)


def bar_table(*rows: tuple[float, Sequence[float]]) -> RawTable:
    """Table of (hours after midnight, open high low close volume), read from a file with a header line."""
    return RawTable(
        "ZEC.csv",
        ("time", "open", "high", "low", "close", "volume"),
        np.array([MIDNIGHT + int(hour * HOUR) for hour, _ in rows], dtype=np.int64),
        np.array([values for _, values in rows], dtype=np.float64).reshape(len(rows), 5),
        np.arange(len(rows), dtype=np.int64) + 2,
        "line",
    )


def rate_table(*rows: tuple[int, float]) -> RawTable:
    """Table of (milliseconds after midnight, rate), rows counted from 0."""
    return RawTable(
        "ZEC funding",
        ("timestamp", "funding_rate"),
        np.array([MIDNIGHT + offset for offset, _ in rows], dtype=np.int64),
        np.array([[rate] for _, rate in rows], dtype=np.float64),
        np.arange(len(rows), dtype=np.int64),
    )


def sample_table(*rows: tuple[float, float, float]) -> RawTable:
    """Table of (hours after midnight, coins, value), rows counted from 0."""
    return RawTable(
        "ZEC oi",
        ("timestamp", "coins", "value"),
        np.array([MIDNIGHT + int(hour * HOUR) for hour, _, _ in rows], dtype=np.int64),
        np.array([amounts for _, *amounts in rows], dtype=np.float64),
        np.arange(len(rows), dtype=np.int64),
    )


def settlements(*hours: float, rate: float = 0.01) -> CheckedFunding:
    stamps = np.array([MIDNIGHT + int(hour * HOUR) for hour in hours], dtype=np.int64)
    return CheckedFunding(stamps, np.full(len(hours), rate))


def grid(first: float, count: int, bar_hours: float = 1) -> np.ndarray:
    return MIDNIGHT + int(first * HOUR) + np.arange(count, dtype=np.int64) * int(bar_hours * HOUR)


@pytest.mark.parametrize(
    ("values", "column", "complaint"),
    [
        ((NAN, 12, 9, 11, 5), "open", "the price is missing: fill it in, or empty the whole bar"),
        ((10, 12, 9, NAN, 5), "close", "the price is missing: fill it in, or empty the whole bar"),
        ((10, INF, 9, 11, 5), "high", "price inf is not positive and finite: fix the row"),
        ((10, 12, 0, 11, 5), "low", "price 0.0 is not positive and finite: fix the row"),
        ((-10.5, 12, 9, 11, 5), "open", "price -10.5 is not positive and finite: fix the row"),
        ((10, 8.5, 9, 11, 5), "high", "high 8.5 is below low 9.0: fix the row"),
        ((12.5, 12, 9, 11, 5), "open", "12.5 is outside [low, high] = [9.0, 12.0]: fix the row"),
        ((8.5, 12, 9, 11, 5), "open", "8.5 is outside [low, high] = [9.0, 12.0]: fix the row"),
        ((10, 12, 9, 12.25, 5), "close", "12.25 is outside [low, high] = [9.0, 12.0]: fix the row"),
        ((10, 12, 9, 8.75, 5), "close", "8.75 is outside [low, high] = [9.0, 12.0]: fix the row"),
        ((10, 12, 9, 11, -5), "volume", "volume -5.0 is negative or infinite: fix or empty it"),
        ((10, 12, 9, 11, INF), "volume", "volume inf is negative or infinite: fix or empty it"),
        (
            (NAN, NAN, NAN, NAN, 7),
            "volume",
            "volume 7.0 stands in a bar without prices: fill them in or drop the row",
        ),
    ],
)
def test_a_cell_that_cannot_be_is_refused_where_it_stands(values: Sequence[float], column: str, complaint: str) -> None:
    with pytest.raises(MarketError) as caught:
        clean_bars(bar_table((0, BAR), (1, values), (2, BAR)), "1h")
    assert str(caught.value) == f"ZEC.csv line 3, column {column}: {complaint}"


def test_prices_at_the_edge_of_the_range_are_good() -> None:
    bars = clean_bars(bar_table((0, (10, 10, 10, 10, 0)), (1, (9, 12, 9, 12, 0))), "1h")
    assert bars.close.tolist() == [10, 12]
    assert bars.repairs == ()


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        (1_759_276_800, "1759276800"),
        (0, "0"),
        (1_230_767_999_999, "1230767999999"),
        (4_102_444_800_000, "4102444800000"),
    ],
)
def test_a_time_outside_2009_to_2100_is_refused(stamp: int, shown: str) -> None:
    table = bar_table((0, BAR))
    table.time_ms[0] = stamp
    with pytest.raises(
        MarketError, match=rf"ZEC.csv line 2, column time: {shown} is not a time from 2009 to 2100.* seconds are not"
    ):
        clean_bars(table, "1h")


@pytest.mark.parametrize(
    ("hour", "timeframe", "shown"),
    [
        (1.5, "1h", "2025-10-01 01:30"),
        (1 - 1 / HOUR, "1h", "2025-10-01 00:59:59 and 999 ms"),
        (1, "4h", "2025-10-01 01:00"),
        (16, "1d", "2025-10-01 16:00"),
        (7 * 24 + 1, "1w", "2025-10-08 01:00"),
    ],
)
def test_a_bar_off_the_grid_is_refused(hour: float, timeframe: str, shown: str) -> None:
    with pytest.raises(
        MarketError,
        match=rf"ZEC.csv line 3, column time: {shown} is off the {timeframe} grid: stamp each bar with its open",
    ):
        clean_bars(bar_table((0, BAR), (hour, BAR)), timeframe)


def test_weeks_may_start_on_any_day_but_on_one() -> None:
    weeks = [(24 * 7 * week, BAR) for week in range(3)]
    assert clean_bars(bar_table(*weeks), "1w").open_ms.tolist() == [MIDNIGHT + week * 604_800_000 for week in range(3)]
    with pytest.raises(MarketError, match=r"line 5, column time: 2025-10-23 00:00 is off the 1w grid"):
        clean_bars(bar_table(*weeks, (24 * 22, BAR)), "1w")


def test_weeks_start_at_midnight() -> None:
    with pytest.raises(MarketError, match=r"line 2, column time: 2025-10-01 16:00 is off the 1w grid"):
        clean_bars(bar_table((16, BAR), (7 * 24 + 16, BAR)), "1w")


def test_bars_further_apart_than_they_are_said_to_be_are_refused() -> None:
    with pytest.raises(
        MarketError, match=r"ZEC.csv: its rows are 60 minutes apart, but it is said to hold 5m: name it after its own"
    ):
        clean_bars(bar_table((0, BAR), (1, BAR), (2, BAR)), "5m")


def test_bars_of_which_none_has_prices_are_refused() -> None:
    with pytest.raises(MarketError, match=r"ZEC.csv holds no bar"):
        clean_bars(bar_table((0, (NAN,) * 5)), "1h")


def test_two_rows_of_one_time_that_differ_are_refused() -> None:
    other = (10.0, 12.0, 9.0, 11.5, 5.0)
    with pytest.raises(MarketError) as caught:
        clean_bars(bar_table((1, BAR), (0, BAR), (2, BAR), (1, other)), "1h")
    assert str(caught.value) == (
        "ZEC.csv line 5, column close: 11.5 contradicts 11.0 at line 2, both for 2025-10-01 01:00: "
        "keep one of the two rows"
    )


def test_an_empty_volume_contradicts_a_number() -> None:
    with pytest.raises(MarketError, match=r"line 3, column volume: nan contradicts 5.0 at line 2"):
        clean_bars(bar_table((0, BAR), (0, (10, 12, 9, 11, NAN))), "1h")


@pytest.mark.parametrize(
    ("hours", "sentences"),
    [
        ((0, 1, 2), []),
        ((0, 1, 1, 2, 1), ["2 exact duplicate rows dropped, first at line 4 (2025-10-01 01:00)"]),
        ((0, 2, 1, 3), ["1 row out of order sorted by time, first at line 4 (2025-10-01 01:00)"]),
        ((3, 2, 1, 0), ["3 rows out of order sorted by time, first at line 3 (2025-10-01 02:00)"]),
        (
            (1, 0, 1),
            [
                "1 exact duplicate row dropped, first at line 4 (2025-10-01 01:00)",
                "1 row out of order sorted by time, first at line 3 (2025-10-01 00:00)",
            ],
        ),
    ],
)
def test_duplicates_and_disorder_are_repaired_and_counted(hours: Sequence[float], sentences: list[str]) -> None:
    rows = [(hour, (10 + hour, 20 + hour, 9, 11, NAN if hour == 3 else 5)) for hour in hours]
    bars = clean_bars(bar_table(*rows), "1h")
    assert bars.open_ms.tolist() == [MIDNIGHT + hour * HOUR for hour in sorted(set(hours))]
    assert bars.open.tolist() == [10 + hour for hour in sorted(set(hours))]
    assert [sentence for sentence in bars.repairs if "volume" not in sentence] == sentences


def test_a_bar_without_prices_is_missing_and_said_to_be() -> None:
    empty = (NAN, NAN, NAN, NAN, 0)
    bars = clean_bars(bar_table((0, BAR), (1, empty), (2, BAR), (3, (NAN,) * 5)), "1h")
    assert bars.open_ms.tolist() == [MIDNIGHT, MIDNIGHT + 2 * HOUR]
    assert bars.repairs == ("2 rows without prices dropped (a missing bar), first at line 3 (2025-10-01 01:00)",)


def test_an_empty_volume_stays_unknown() -> None:
    unknown = (10, 12, 9, 11, NAN)
    bars = clean_bars(bar_table((2, unknown), (0, BAR), (1, unknown)), "1h")
    np.testing.assert_array_equal(bars.volume, [5, NAN, NAN])
    assert bars.repairs == (
        "2 rows out of order sorted by time, first at line 3 (2025-10-01 00:00)",
        "2 empty volumes kept as unknown, first at line 2 (2025-10-01 02:00)",
    )


def test_a_rate_of_the_whole_notional_is_refused() -> None:
    with pytest.raises(
        MarketError, match=r"ZEC funding row 1, column funding_rate: a funding rate of -1.0 is 100% or more"
    ):
        clean_funding(rate_table((0, 0.99), (8 * HOUR, -1.0)))
    with pytest.raises(MarketError, match=r"a funding rate of inf is 100%"):
        clean_funding(rate_table((0, INF)))


def test_an_empty_rate_is_a_settlement_of_unknown_size() -> None:
    funding = clean_funding(rate_table((0, 0.01), (8 * HOUR, NAN), (16 * HOUR, 0.02)))
    assert funding.repairs == ("1 empty funding rate kept as unknown, first at row 1 (2025-10-01 08:00)",)
    per_bar = funding_per_bar(funding, grid(0, 16), HOUR)
    assert np.flatnonzero(np.isnan(per_bar)).tolist() == [7]
    assert per_bar[15] == 0.02


def test_jittered_stamps_of_one_settlement_are_one() -> None:
    funding = clean_funding(rate_table((0, 0.01), (2, 0.01), (8 * HOUR - 3, 0.02)))
    assert funding.settled_ms.tolist() == [MIDNIGHT, MIDNIGHT + 8 * HOUR]
    assert funding.repairs == ("1 exact duplicate row dropped, first at row 1 (2025-10-01 00:00)",)
    with pytest.raises(MarketError, match=r"row 1, column funding_rate: 0.02 contradicts 0.01 at row 0"):
        clean_funding(rate_table((0, 0.01), (2, 0.02)))


@pytest.mark.parametrize(
    ("offset", "snapped"),
    [
        (0, 0),
        (2, 0),
        (5_000, 0),
        (5_001, 5_001),
        (30_000, 30_000),
        (54_999, 54_999),
        (55_000, 60_000),
        (59_998, 60_000),
    ],
)
def test_stamps_snap_to_a_minute_that_is_five_seconds_away_at_most(offset: int, snapped: int) -> None:
    assert snap(np.array([MIDNIGHT + offset])).tolist() == [MIDNIGHT + snapped]


def test_epoch_stamps_are_told_apart_by_magnitude_in_each_row() -> None:
    stamps = np.array([MIDNIGHT, MIDNIGHT * 1_000 + 999, MIDNIGHT * 1_000_000, MIDNIGHT // 1_000, -1])
    assert epoch_ms(stamps).tolist() == [MIDNIGHT, MIDNIGHT, MIDNIGHT, MIDNIGHT // 1_000, -1]


@pytest.mark.parametrize(("column", "coins", "value"), [("coins", -1.0, 5.0), ("value", 1.0, INF)])
def test_impossible_open_interest_is_refused(column: str, coins: float, value: float) -> None:
    wrong = coins if column == "coins" else value
    with pytest.raises(
        MarketError, match=rf"ZEC oi row 1, column {column}: open interest {wrong} is negative or infinite"
    ):
        clean_open_interest(sample_table((0, 1, 1), (4, coins, value)), "4h")


def test_an_empty_sample_is_dropped_and_said_to_be() -> None:
    samples = clean_open_interest(sample_table((0, 1, 10), (4, NAN, NAN), (8, 2, NAN)), "4h")
    assert samples.sampled_ms.tolist() == [MIDNIGHT, MIDNIGHT + 8 * HOUR]
    assert samples.repairs == ("1 empty open-interest sample dropped, first at row 1 (2025-10-01 04:00)",)


@pytest.mark.parametrize(("period", "minutes"), [("5m", 240), ("1d", 240)])
def test_samples_spaced_otherwise_than_their_period_are_refused(period: str, minutes: int) -> None:
    with pytest.raises(
        MarketError, match=rf"ZEC oi: its rows are {minutes} minutes apart, but it is said to hold {period}"
    ):
        clean_open_interest(sample_table((0, 1, 1), (4, 1, 1), (8, 1, 1)), period)


def test_funding_is_charged_in_the_bar_that_closes_at_its_settlement() -> None:
    # 8 h cadence from 00:00: known from 16:00 the day before (exclusive) to 24:00 (exclusive).
    funding = CheckedFunding(MIDNIGHT + np.array([0, 8, 16]) * HOUR, np.array([0.01, -0.02, 0.03]))
    per_bar = funding_per_bar(funding, grid(-10, 36), HOUR)
    expected = np.zeros(36)
    expected[9], expected[17], expected[25] = 0.01, -0.02, 0.03
    expected[[0, 1]] = NAN
    expected[33:] = NAN
    np.testing.assert_array_equal(per_bar, expected)


def test_a_long_bar_sums_its_settlements_and_needs_all_of_them() -> None:
    funding = settlements(0, 8, 16, 24, 32, 40, 48)
    per_bar = funding_per_bar(funding, grid(-24, 4, 24), 24 * HOUR)
    np.testing.assert_allclose(per_bar, [NAN, 0.03, 0.03, NAN], rtol=1e-15)


def test_a_hole_is_unknown_until_a_bar_is_wholly_covered_again() -> None:
    # 8 h cadence with 16:00 missing: nothing is proven in (08:00, 24:00].
    per_bar = funding_per_bar(settlements(-16, -8, 0, 8, 24, 32, 40, 48), grid(0, 48), HOUR)
    assert np.flatnonzero(np.isnan(per_bar)).tolist() == list(range(8, 24))
    assert per_bar[[7, 31]].tolist() == [0.01, 0.01]
    four_hours = funding_per_bar(settlements(-16, -8, 0, 8, 24, 32, 40, 48), grid(6, 6, 4), 4 * HOUR)
    assert np.flatnonzero(np.isnan(four_hours)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "hours",
    [
        (0, 8, 16, 24, 28, 32, 36, 37, 38, 39, 40),
        (0, 1, 2, 3, 4, 12, 20, 28, 36),
        (0, 8, 16, 24, 25, 26, 27, 28),
        (0, 8, 12, 20, 28),
    ],
    ids=["8h to 4h to 1h", "1h to 8h", "8h to 1h", "one extra settlement"],
)
def test_a_change_of_cadence_is_no_hole(hours: Sequence[float]) -> None:
    coverage = funding_coverage(settlements(*hours).settled_ms)
    assert len(coverage.after_ms) == len(coverage.until_ms) == 1


@pytest.mark.parametrize(
    ("hours", "holes"),
    [
        ((0, 8, 16, 32, 40, 48), [(16, 32)]),
        ((0, 16, 24, 32), [(0, 16)]),
        ((0, 8, 16, 32), [(16, 32)]),
        ((0, 1, 2, 4, 5, 6), [(2, 4)]),
        ((0, 8, 24, 40, 48, 56), [(8, 24), (24, 40)]),
        ((0, 8, 16, 720, 728, 736), [(16, 720)]),
        ((0, 13), [(0, 13)]),
        ((0, 24, 48, 72), [(0, 24), (24, 48), (48, 72)]),
    ],
)
def test_a_missing_settlement_is_a_hole(hours: Sequence[float], holes: list[tuple[float, float]]) -> None:
    coverage = funding_coverage(settlements(*hours).settled_ms)
    found = [
        ((until - MIDNIGHT) / HOUR, (after - MIDNIGHT) / HOUR)
        for until, after in zip(coverage.until_ms[:-1], coverage.after_ms[1:], strict=True)
    ]
    assert found == holes


def test_a_gap_of_a_cadence_and_a_half_is_covered_and_more_is_not() -> None:
    assert len(funding_coverage(settlements(0, 8, 20, 28).settled_ms).after_ms) == 1
    assert len(funding_coverage(settlements(0, 8, 20.01, 28.01).settled_ms).after_ms) == 2


def test_the_ends_are_covered_for_the_shortest_interval_near_them() -> None:
    coverage = funding_coverage(settlements(0, 8, 12, 20, 28, 36, 40, 48).settled_ms)
    assert coverage.after_ms.tolist() == [MIDNIGHT - 4 * HOUR]
    assert coverage.until_ms.tolist() == [MIDNIGHT + 52 * HOUR - 1]


def test_one_settlement_proves_nothing() -> None:
    assert np.isnan(funding_per_bar(settlements(8), grid(0, 16), HOUR)).all()
    assert np.isnan(funding_per_bar(settlements(), grid(0, 16), HOUR)).all()


@given(
    st.lists(st.sampled_from([1, 2, 4, 8, 12, 16]), min_size=1, max_size=12),
    st.integers(-40, 40),
    st.integers(1, 60),
    st.sampled_from([1, 2, 4, 8, 24]),
)
def test_known_funding_is_the_sum_of_the_settlements_of_its_bar(
    gaps: list[int], first: int, count: int, bar_hours: int
) -> None:
    hours = np.concatenate(([0], np.cumsum(gaps)))
    rates = np.arange(1, len(hours) + 1) / 1024
    opens = grid(first, count, bar_hours)
    per_bar = funding_per_bar(CheckedFunding(MIDNIGHT + hours * HOUR, rates), opens, bar_hours * HOUR)
    for row, start in enumerate(range(first, first + count * bar_hours, bar_hours)):
        inside = (hours > start) & (hours <= start + bar_hours)
        assert np.isnan(per_bar[row]) or per_bar[row] == rates[inside].sum()
        if start >= hours[-1] + 8 or start + bar_hours <= -8:
            assert np.isnan(per_bar[row])


def test_open_interest_is_known_one_period_after_its_stamp_and_goes_stale_after_two_more() -> None:
    samples = OpenInterest(MIDNIGHT + np.array([0, 4]) * HOUR, 4 * HOUR, np.array([1.0, 2.0]), np.array([100.0, NAN]))
    close_ms = grid(3, 16)
    price = np.arange(16, dtype=np.float64)
    # Closes at 03:00, 04:00, ...: the first is known from 04:00, the second (2 coins) from 08:00 to 16:00.
    expected = [NAN, 100, 100, 100, 100, 10, 12, 14, 16, 18, 20, 22, 24, 26, NAN, NAN]
    np.testing.assert_array_equal(open_interest_at_close(samples, close_ms, price), expected)


def test_open_interest_of_coins_is_unknown_where_the_price_is() -> None:
    samples = OpenInterest(np.array([MIDNIGHT]), HOUR, np.array([3.0]), np.array([NAN]))
    known = open_interest_at_close(samples, grid(1, 3), np.array([NAN, 2.0, 4.0]))
    np.testing.assert_array_equal(known, [NAN, 6, 12])


def test_every_error_of_a_table_ends_in_one_sentence() -> None:
    with pytest.raises(MarketError) as caught:
        clean_bars(bar_table((0, (1, 2, 3, 4, 5))), "1h")
    assert re.fullmatch(r"[^\n]+", str(caught.value))
