"""Rules that ship: what Binance's own deductions say of them, that they are dated, and that a run names them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from backtest.base.documents import datasets_root
from backtest.base.errors import MarketError, UsageError
from backtest.base.units import parse_timerange, to_ms
from backtest.engine.costs import maintenance
from backtest.market.dataset import open_dataset
from backtest.market.instrument import Tier
from backtest.market.instrument_file import ruled, shipped_rules
from backtest.market.record import Market
from backtest.request.request import Request

ZEC = "ZEC/USDT:USDT"
# Deductions ("cum") that Binance printed beside its tiers on the day, in USDT.
DEDUCTIONS = {
    "binanceusdm-2025-09-29": (0, 25, 75, 200, 1450, 7700, 13950, 34800, 409650, 2284650),
    "binanceusdm-2025-10-31": (0, 100, 1100, 6100, 56100, 306100, 493600, 1743600, 4868600),
    "binanceusdm-2025-12-30": (0, 100, 1100, 6100, 56100, 306100, 493600, 1743600, 6743600),
}
# Bybit's page of margin parameters of BTCUSDT, a stored copy without a day: limits, rates and deductions.
BYBIT = (
    (2_000_000, 0.005, 0), (2_600_000, 0.0056, 1_200), (3_200_000, 0.0063, 3_020), (3_800_000, 0.0067, 4_300),
    (4_400_000, 0.0071, 5_820), (5_000_000, 0.0077, 8_460), (5_600_000, 0.0091, 15_460), (8_500_000, 0.01, 20_500),
    (10_000_000, 0.013, 46_000), (14_000_000, 0.015, 66_000), (20_000_000, 0.016, 80_000), (28_000_000, 0.02, 160_000),
)  # fmt: skip


@pytest.fixture(scope="module")
def sample() -> Market:
    return open_dataset("privacy-2025-sample")


def deductions(tiers: tuple[Tier, ...]) -> list[float]:
    """What the kernel takes off at each tier."""
    return [float(one) for one in maintenance(tiers)[:, 1]]


@pytest.mark.parametrize("name", DEDUCTIONS)
def test_the_venues_own_deductions_follow_from_the_tiers(name: str, sample: Market) -> None:
    market = ruled(sample, name)
    tiers = market.instruments[market.column(ZEC)].tiers
    assert deductions(tiers) == pytest.approx(DEDUCTIONS[name])


def test_bybits_deductions_follow_from_its_tiers() -> None:
    floors = [0, *(limit for limit, _, _ in BYBIT[:-1])]
    tiers = tuple((float(floor), rate) for floor, (_, rate, _) in zip(floors, BYBIT, strict=True))
    assert deductions(tiers) == pytest.approx([deduction for _, _, deduction in BYBIT])


@pytest.mark.parametrize("name", shipped_rules())
def test_a_file_that_ships_says_where_it_is_from_and_of_which_day(name: str, sample: Market) -> None:
    text = (datasets_root() / "instruments" / f"{name}.toml").read_text()
    day = name[-10:]
    assert re.search(r"freqtrade 20\d\d\.\d+, built " + day, text)
    assert re.search(r"sha256 of its binance_leverage_tiers.json: [0-9a-f]{64}\n", text)
    market = ruled(sample, name)
    invented = {"DCR/USDT:USDT", "RAIL/USDT:USDT"}
    swaps = {one.symbol for one in market.instruments if one.kind == "swap"}
    assert {one.symbol for one in market.instruments if one.tiers} == swaps - invented
    said = market.provenance.repairs[0]
    assert (
        f"read from {name}.toml: tiers, most_leverage; those of {day}, for all bars (Binance's tiers as ccxt read them"
        in said
    )
    np.testing.assert_array_equal(market.close, sample.close)
    assert market.sha256() != sample.sha256()


def test_four_days_ship() -> None:
    assert [name[-10:] for name in shipped_rules()] == ["2025-09-29", "2025-10-31", "2025-11-30", "2025-12-30"]


def test_tiers_change_within_the_season_and_with_them_a_liquidation(sample: Market) -> None:
    rates = []
    for name in ("binanceusdm-2025-09-29", "binanceusdm-2025-10-31"):
        market = ruled(sample, name)
        tiers = market.instruments[market.column(ZEC)].tiers
        rates.append(max(rate for floor, rate in tiers if floor <= 100_000))
    assert rates == [0.05, 0.015]


@pytest.mark.parametrize(
    ("first", "last", "chosen", "late", "after"),
    [
        # Before the first file that ships nothing was known: the oldest is taken, and said to be later.
        ("2025-09-14", "2026-01-01", "2025-09-29", True, ("2025-10-31", "2025-11-30", "2025-12-30")),
        ("2025-09-29", "2025-12-30", "2025-09-29", False, ("2025-10-31", "2025-11-30")),
        ("2025-10-30", "2025-10-31", "2025-09-29", False, ()),
        ("2025-10-31", "2026-01-01", "2025-10-31", False, ("2025-11-30", "2025-12-30")),
        ("2025-12-30", "2026-01-01", "2025-12-30", False, ()),
    ],
)
def test_a_venue_names_the_rules_in_force_at_each_bar(
    first: str, last: str, chosen: str, late: bool, after: tuple[str, ...], sample: Market
) -> None:
    market = sample.between(parse_timerange(f"{first.replace('-', '')}-{last.replace('-', '')}"))
    found, named = ruled(market, "binanceusdm"), ruled(market, f"binanceusdm-{chosen}")
    assert [replace(one, changes=()) for one in found.instruments] == list(named.instruments)
    said = " ".join(found.provenance.repairs)
    assert f"read from binanceusdm-{chosen}.toml" in found.provenance.repairs[0]
    assert (f"bars from {first} on are replayed under rules of {chosen}, not known then" in said) == late
    assert (f"; those of {chosen}, for the bars before {after[0]} (" if after else ", for all bars (") in said
    names = ", ".join(f"binanceusdm-{day}" for day in after)
    assert (f"tiers of {names} are in force from their days on" in said) == bool(after)
    assert "are not used" not in said
    # What each day has, of an instrument that changes each time and of one that changes in November alone.
    at = {day: ruled(market, f"binanceusdm-{day}") for day in after}
    for symbol in (ZEC, "ROSE/USDT:USDT", "DCR/USDT:USDT"):
        column, last_known, expected = market.column(symbol), named.instruments[market.column(symbol)], []
        for day, other in at.items():
            now = other.instruments[column]
            if (now.tiers, now.most_leverage) != (last_known.tiers, last_known.most_leverage):
                expected.append((to_ms(datetime.fromisoformat(f"{day}T00:00:00Z")), now.tiers, now.most_leverage))
                last_known = now
        assert list(found.instruments[column].changes) == expected
    rose = [change[0] for change in found.instruments[market.column("ROSE/USDT:USDT")].changes]
    assert len(rose) == ("2025-11-30" in after)


def test_a_day_that_is_named_holds_for_all_bars_and_says_what_came_after(sample: Market) -> None:
    named = ruled(sample, "binanceusdm-2025-10-31")
    newer = "rules of binanceusdm newer than 2025-10-31 came into force within the bars, and are not used: "
    assert newer + "2025-11-30, 2025-12-30" in " ".join(named.provenance.repairs)
    assert not any(one.changes for one in named.instruments)


def test_most_leverage_of_a_tier_is_what_its_maintenance_rate_can_carry(sample: Market) -> None:
    # From freqtrade's file of 2025.10: 75 times to 20,000 of ZEC, one time from 12,500,000 on.
    for name in shipped_rules():
        for one in ruled(sample, name).instruments:
            assert bool(one.tiers) == bool(one.most_leverage)
            for floor, leverage in one.most_leverage:
                rate = max(rate for begins, rate in one.tiers if begins <= floor)
                assert rate * leverage < 1
    zec = ruled(sample, "binanceusdm-2025-10-31").instruments[sample.column(ZEC)].most_leverage
    assert (zec[0], zec[-1]) == ((0.0, 75.0), (12_500_000.0, 1.0))


def test_a_file_named_by_its_day_says_that_it_is_later_than_the_bars(sample: Market, tmp_path: Path) -> None:
    market = ruled(sample, "binanceusdm-2025-12-30")
    late = "binanceusdm-2025-12-30.toml: bars from 2025-09-14 on are replayed under rules of 2025-12-30, not known then"
    assert late in market.provenance.repairs
    own = tmp_path / "mine.toml"
    own.write_text(f'["{ZEC}"]\nas_of = 2025-09-13\ntick = 0.5\n')
    assert len(ruled(sample, str(own)).provenance.repairs) == len(sample.provenance.repairs) + 1
    own.write_text(f'["{ZEC}"]\nas_of = 2026-01-13\ntick = 0.5\n')
    assert "under rules of 2026-01-13, not known then" in ruled(sample, str(own)).provenance.repairs[1]


def test_a_request_names_its_rules_and_a_file_of_ones_own(tmp_path: Path, sample: Market) -> None:
    asked = Request(rules="binanceusdm-2025-11-30")
    assert asked.document()["rules"] == "binanceusdm-2025-11-30"
    assert asked.market().instruments[0].tiers[0] == (0.0, 0.01)
    assert "rules" not in Request().document()
    own = tmp_path / "mine.toml"
    own.write_text(f'source = "the desk"\n["{ZEC}"]\ntick = 0.5\n["ABC/USDT:USDT"]\ntick = 1\n')
    market = Request(rules=str(own)).market()
    assert market.instruments[0].tick == 0.5
    assert market.provenance.repairs == (f"rules of {ZEC} read from mine.toml: tick (the desk)",)


def test_what_is_no_file_of_rules_is_refused(tmp_path: Path, sample: Market) -> None:
    with pytest.raises(
        UsageError, match=r"`rules` 'binanceusd' is neither a file nor a name; did you mean 'binanceusdm'"
    ):
        ruled(sample, "binanceusd")
    other = tmp_path / "other.toml"
    other.write_text('["ABC/USDT:USDT"]\ntick = 1\n')
    with pytest.raises(MarketError, match=r"other.toml has rules of no instrument of 'privacy-2025-sample': ZEC/USDT"):
        ruled(sample, str(other))
    other.write_text("source = 3\n")
    with pytest.raises(MarketError, match="source = 3 must say in words where the rules are from"):
        ruled(sample, str(other))
