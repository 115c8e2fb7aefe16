"""The rules of a venue that a fetch keeps beside its bars: read right, dated, and never over a person's."""

from __future__ import annotations

import threading
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ccxt
import pytest

from backtest.base.errors import MarketError
from backtest.market.ccxt_source import Listed, Venue
from backtest.market.from_store import open_stored
from backtest.market.instrument_file import INSTRUMENTS
from backtest.market.record import Instrument
from backtest.market.store import Store
from backtest.market.transport import Patience
from backtest.market.venue_instruments import keep_rules, rules_of, tiers_of
from tests.market.loopback import NOW, Loopback, options, serving
from tests.market.test_download import LAUNCH, ZEC, download, zec
from tests.market.venues import listed_market

TIERS = ((0.0, 0.01), (200_000.0, 0.025), (900_000.0, 0.05))
DASH = "DASH/USDT:USDT"


def fetched(store: Store, state: Loopback, **more: Any) -> tuple[str, ...]:
    with serving(state):
        return download(store, state, "20251129-", instruments=True, **more).notes


def told(store: Store) -> dict[str, Any]:
    return tomllib.loads((store.root / "bybit" / INSTRUMENTS).read_text())


def test_what_the_venue_says_is_kept_and_the_market_has_it_and_says_of_which_day(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert fetched(store, zec()) == ()
    day, listed = date(2025, 12, 1), date(2023, 11, 14)
    table = {"as_of": day, "tick": 0.01, "lot": 0.01, "listed": listed}
    assert told(store)[ZEC] == {**table, "tiers": [list(tier) for tier in TIERS]}
    market = open_stored(store, "test")
    (one,) = market.instruments
    assert (one.tick, one.lot, one.tiers, one.least_notional) == (0.01, 0.01, TIERS, 0.0)
    assert one.listed_ms == LAUNCH // 86_400_000 * 86_400_000
    said = (
        "rules of ZEC/USDT:USDT read from instruments.toml: tick, lot, listed, tiers; those of 2025-12-01, for all bars"
    )
    assert said in market.provenance.repairs
    assert open_stored(store, "bybit").instruments == market.instruments


def test_without_the_option_nothing_is_asked_or_kept(tmp_path: Path) -> None:
    store, state = Store(tmp_path), zec()
    with serving(state):
        download(store, state, "20251129-")
    assert not any("risk-limit" in path for _, path, _ in state.asked)
    assert not (tmp_path / "bybit" / INSTRUMENTS).exists()
    assert open_stored(store, "test").instruments == (Instrument.parse(ZEC),)


def test_rules_are_asked_for_once_a_day(tmp_path: Path) -> None:
    store, state = Store(tmp_path), zec()
    for day, asked in ((0, 1), (0, 1), (1, 2)):
        fetched(store, state, clock=lambda day=day: NOW + day * 86_400_000)
        assert sum("risk-limit" in path for _, path, _ in state.asked) == asked
    assert told(store)[ZEC]["as_of"] == date(2025, 12, 2)


@pytest.mark.parametrize(
    ("info", "ends"),
    [
        ({"deliveryDate": 4133404800000}, None),
        ({"deliveryTime": "0"}, None),
        ({"deliveryTime": ""}, None),
        ({}, None),
        (None, None),
        ({"deliveryDate": 1762502400000}, datetime(2025, 11, 7, 8, tzinfo=UTC)),
        ({"deliveryTime": "1762502400000"}, datetime(2025, 11, 7, 8, tzinfo=UTC)),
    ],
)
def test_the_end_of_a_perpetual_is_read_where_the_venue_writes_one(info: Any, ends: Any, tmp_path: Path) -> None:
    venue = Venue("okx", {}, threading.Event(), Patience())
    venue.exchange.markets = {ZEC: {"precision": {}, "info": info}}
    table, _ = rules_of(venue, Listed(Instrument.parse(ZEC), 1.0, None, True), NOW)
    assert table.get("delisted") == ends
    keep_rules(tmp_path, "okx", {ZEC: table})
    from backtest.market.instrument_file import with_rules

    found, _ = with_rules(tmp_path / "okx", [Instrument.parse(ZEC)])
    assert found[ZEC].delisted_ms == (None if ends is None else 1762502400000)


def test_a_table_that_a_person_wrote_is_kept_and_said_and_other_symbols_stay(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "bybit").mkdir()
    (tmp_path / "bybit" / INSTRUMENTS).write_text(f'["{ZEC}"]\ntick = 0.5\n["{DASH}"]\nas_of = 2020-01-01\nlot = 1\n')
    (note,) = fetched(store, zec())
    assert "says itself what the rules of ZEC/USDT:USDT are" in note
    assert told(store) == {ZEC: {"tick": 0.5}, DASH: {"as_of": date(2020, 1, 1), "lot": 1}}
    assert open_stored(store, "test").instruments[0].tick == 0.5
    assert all(DASH not in line for line in open_stored(store, "test").provenance.repairs)
    keep_rules(tmp_path, "bybit", {DASH: {"as_of": date(2025, 1, 1), "lot": 0.1}})
    assert told(store)[DASH] == {"as_of": date(2025, 1, 1), "lot": 0.1}


@pytest.mark.parametrize("text", ["x", '["ZEC/USDT:USDT"]\ntiick = 1\n', '["ZEC/USDT:USDT"]\nas_of = "today"\n'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    fetched(store, zec())
    (tmp_path / "bybit" / INSTRUMENTS).write_text(text)
    with pytest.raises(MarketError, match=r"instruments\.toml"):
        open_stored(store, "test")


def row(floor: Any, rate: Any, leverage: Any) -> dict[str, Any]:
    return {"minNotional": floor, "maintenanceMarginRate": rate, "maxLeverage": leverage}


def test_rates_are_shares_or_percent_by_arithmetic() -> None:
    shares = [row(0, 0.005, 100), row(1e6, 0.01, 50), row(2e6, 0.01, 40)]
    assert tiers_of(shares) == ((0.0, 0.005), (1e6, 0.01))
    percent = [row(0, 0.5, 100), row(1e6, 1, 50)]
    assert tiers_of(percent[::-1]) == ((0.0, 0.005), (1e6, 0.01))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "is missing"),
        ([row(0, None, 10)], "is missing"),
        ([row(0, float("nan"), 10)], "is missing"),
        ([row(100, 0.01, 10)], "begin at 0 and rise"),
        ([row(0, 0.02, 10), row(5, 0.01, 10)], "begin at 0 and rise"),
        ([row(0, 50, 10)], "above the initial margin"),
        ([row(0, 0, 10)], "above the initial margin"),
    ],
)
def test_tiers_that_cannot_be_are_left_out_with_the_reason(rows: list[Any], said: str) -> None:
    with pytest.raises(MarketError, match=said):
        tiers_of(rows)


@pytest.mark.parametrize(
    ("mode", "price", "tick"),
    [(ccxt.TICK_SIZE, 0.05, 0.05), (ccxt.DECIMAL_PLACES, 3, 0.001), (ccxt.SIGNIFICANT_DIGITS, 5, None)],
)
def test_steps_of_every_precision_and_lots_of_contracts(mode: int, price: float, tick: float | None) -> None:
    venue = Venue("gate", {}, threading.Event(), Patience())
    venue.exchange.precisionMode = mode
    limits = {"cost": {"min": 5.0}, "amount": {"min": 1}}
    venue.exchange.markets = {"ZEC/USDT": {"precision": {"price": price, "amount": None}, "limits": limits}}
    table, note = rules_of(venue, Listed(Instrument.parse("ZEC/USDT"), 1.0, None, True), NOW)
    wanted = {"as_of": date(2025, 12, 1), **({} if tick is None else {"tick": tick}), "least_notional": 5.0}
    assert (table, note) == (wanted, "")


@dataclass
class Tiered(Loopback):
    """A venue that answers whatever it is asked with its table of tiers, as its documentation shows one."""

    table: Any = None

    def answer(self, path: str, query: dict[str, str], kind: str | None) -> Any:
        return self.table


def _tier(**more: Any) -> dict[str, Any]:
    return {"symbol": "ZECUSDT", **more}


TABLES: dict[str, Any] = {
    "bitget": {
        "code": "00000",
        "data": [
            _tier(level="1", startUnit="0", endUnit="200000", leverage="50", keepMarginRate="0.01"),
            _tier(level="2", startUnit="200000", endUnit="900000", leverage="20", keepMarginRate="0.025"),
            _tier(level="3", startUnit="900000", endUnit="2000000", leverage="10", keepMarginRate="0.05"),
        ],
    },
    # A tier of Gate begins where the one before it ends.
    "gate": [
        {"tier": 1, "risk_limit": "200000", "maintenance_rate": "0.01", "leverage_max": "50"},
        {"tier": 2, "risk_limit": "900000", "maintenance_rate": "0.025", "leverage_max": "20"},
        {"tier": 3, "risk_limit": "2000000", "maintenance_rate": "0.05", "leverage_max": "10"},
    ],
    "kucoinfutures": {
        "code": "200000",
        "data": [
            _tier(level=1, minRiskLimit=0, maxRiskLimit=200000, maxLeverage=50, maintainMargin=0.01),
            _tier(level=2, minRiskLimit=200000, maxRiskLimit=900000, maxLeverage=20, maintainMargin=0.025),
            _tier(level=3, minRiskLimit=900000, maxRiskLimit=2000000, maxLeverage=10, maintainMargin=0.05),
        ],
    },
}
PATHS = {"bitget": "query-position-lever", "gate": "risk_limit_tiers", "kucoinfutures": "contracts/risk-limit/"}


def asked_of(name: str, state: Loopback) -> tuple[dict[str, Any], str]:
    with serving(state):
        venue = Venue(name, options(name, state.url), threading.Event(), Patience(attempts=2, doubtful=1, first=0.001))
        market = {**listed_market(venue.exchange, ZEC, "ZECUSDT"), "precision": {"price": 0.01, "amount": 1.0}}
        venue.exchange.set_markets({ZEC: market}, {})
        venue.exchange.precisionMode = ccxt.TICK_SIZE
        return rules_of(venue, Listed(Instrument.parse(ZEC), 0.1, LAUNCH, True), NOW)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_tiers_of_each_venue_come_from_its_public_table_over_loopback(name: str) -> None:
    state = Tiered({}, table=TABLES[name])
    table, note = asked_of(name, state)
    assert note == ""
    assert table["tiers"] == [list(tier) for tier in TIERS]
    assert (table["tick"], table["lot"], table["contract_size"], table["listed"]) == (
        *(0.01, 1.0, 0.1),
        date(2023, 11, 14),
    )
    assert [PATHS[name] in path for _, path, _ in state.asked] == [True]


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_venue_that_answers_without_its_table_keeps_the_other_rules(name: str) -> None:
    empty = [] if name == "gate" else {**TABLES[name], "data": []}
    table, note = asked_of(name, Tiered({}, table=empty))
    assert "tiers" not in table
    assert table["tick"] == 0.01
    assert note == "maintenance tiers are not kept: a floor, a rate or a leverage is missing"


@pytest.mark.parametrize("name", ["okx", "binanceusdm"])
def test_tiers_in_contracts_or_behind_a_key_are_not_asked_for(name: str) -> None:
    """OKX counts them in contracts, whose value changes with the price; Binance shows them to holders of a key."""
    state = Tiered({})
    table, note = asked_of(name, state)
    assert "tiers" not in table
    assert table["lot"] == 1.0
    assert "does not give maintenance tiers in money to everybody" in note
    assert state.asked == []


def test_a_venue_that_says_it_writes_no_empty_bars_is_believed() -> None:
    venue = Venue("coinbase", {}, threading.Event(), Patience())
    venue.exchange.markets = {"ZEC/USD": {"precision": {}}}
    table, _ = rules_of(venue, Listed(Instrument.parse("ZEC/USD"), 1.0, None, True), NOW)
    assert table["omits_empty_bars"] is True


def test_a_venue_that_does_not_tell_tiers_in_money_is_named(tmp_path: Path) -> None:
    venue = Venue("okx", {}, threading.Event(), Patience())
    venue.exchange.markets = {ZEC: {"precision": {"price": 0.01, "amount": 1.0}}}
    venue.exchange.precisionMode = ccxt.TICK_SIZE
    table, note = rules_of(venue, Listed(Instrument.parse(ZEC), 0.1, None, True), NOW)
    assert (table["lot"], table["contract_size"]) == (1.0, 0.1)
    assert "tiers" not in table
    assert note == "okx does not give maintenance tiers in money to everybody, so they are not kept"
    keep_rules(tmp_path, "okx", {ZEC: table})
    from backtest.market.instrument_file import with_rules

    found, _ = with_rules(tmp_path / "okx", [Instrument.parse(ZEC)])
    assert found[ZEC].lot == pytest.approx(0.1)
