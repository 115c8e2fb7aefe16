"""nautilus_trader, a run a calendar: bars, a market order at the close before, then a stop and a target as its orders.

It is LGPL and no dependency of the project; an environment of its own runs it (`benchmarks.engines.FOREIGN`). A venue
of bars walks each one open, high, low, close; a bar opens at the close before here, so an order that is sent when a bar
closes fills at the next open. Prices and units are rounded to nine decimals, fees to eight.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT, ZEC
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from benchmarks.engines.contract import Engine, Scores, Trades
from benchmarks.workload import CAPITAL, FEE, STOP_LOSS, TAKE_PROFIT, Workload

HOUR_NS = 3_600_000_000_000
START_NS = 1_735_689_600_000_000_000
DIGITS = 9
VENUE = Venue("SIM")
NAME = InstrumentId(Symbol("ZECUSDT-PERP"), VENUE)
KIND = BarType.from_str(f"{NAME}-1-HOUR-LAST-EXTERNAL")


class _Catalysts(Strategy):  # type: ignore[misc]
    def __init__(self, entries: Any) -> None:
        super().__init__()
        self.entries, self.row, self.equity, self.trades = entries, 0, [], []
        self.units, self.paid = 0.0, 0.0

    def on_start(self) -> None:
        self.subscribe_bars(KIND)

    def _cash(self) -> float:
        return float(self.portfolio.account(VENUE).balance_total(USDT))

    def on_bar(self, bar: Any) -> None:
        close = float(bar.close)
        cash = self._cash()
        self.equity.append(cash + self.units * (close - self.paid))
        self.row += 1
        if self.row < len(self.entries) and self.entries[self.row] and not self.units:
            units = Quantity(math.floor(cash / (close * (1.0 + FEE)) * 10**DIGITS) / 10**DIGITS, DIGITS)
            self.submit_order(self.order_factory.market(NAME, OrderSide.BUY, units))

    def on_position_opened(self, event: Any) -> None:
        self.paid, self.units = float(event.avg_px_open), float(event.quantity)
        stop, target = (Price(self.paid * (1.0 + by), DIGITS) for by in (-STOP_LOSS, TAKE_PROFIT))
        self.submit_order(self.order_factory.stop_market(NAME, OrderSide.SELL, event.quantity, stop, reduce_only=True))
        self.submit_order(self.order_factory.limit(NAME, OrderSide.SELL, event.quantity, target, reduce_only=True))

    def on_position_closed(self, event: Any) -> None:
        self.cancel_all_orders(NAME)
        self.units = 0.0
        # What was filled when a bar closed has the bar after it as its own.
        entry = (event.ts_opened - START_NS) // HOUR_NS
        left = (event.ts_closed - START_NS) // HOUR_NS - 1
        self.trades.append((entry, left, float(event.avg_px_open), float(event.avg_px_close)))

    def on_stop(self) -> None:
        self.cancel_all_orders(NAME)
        self.close_all_positions(NAME)


class NautilusTrader(Engine):
    """One engine a calendar."""

    def __init__(self, work: Workload) -> None:
        super().__init__(work)
        self.instrument = CryptoPerpetual(
            instrument_id=NAME, raw_symbol=Symbol("ZECUSDT"), base_currency=ZEC, quote_currency=USDT,
            settlement_currency=USDT, is_inverse=False, price_precision=DIGITS,
            price_increment=Price(10**-DIGITS, DIGITS), size_precision=DIGITS,
            size_increment=Quantity(10**-DIGITS, DIGITS), ts_event=0, ts_init=0, margin_init=Decimal("0.1"),
            margin_maint=Decimal("0.01"), maker_fee=Decimal(str(FEE)), taker_fee=Decimal(str(FEE)),
        )  # fmt: skip
        rows = zip(work.open, work.high, work.low, work.close, strict=True)
        self.bars = [
            Bar(KIND, *(Price(one, DIGITS) for one in row), Quantity(1e6, DIGITS), *(START_NS + number * HOUR_NS,) * 2)
            for number, row in enumerate(rows, 1)
        ]

    def _run(self, shift: int) -> tuple[Any, float]:
        entries = np.zeros(self.work.bars, dtype=np.bool_)
        entries[(self.work.catalysts + shift) % self.work.bars] = True
        entries &= self.work.tradable
        engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(
            VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(CAPITAL, USDT)], base_currency=USDT,
            default_leverage=Decimal(10),
        )  # fmt: skip
        engine.add_instrument(self.instrument)
        engine.add_data(self.bars)
        strategy = _Catalysts(entries)
        engine.add_strategy(strategy)
        engine.run()
        final = float(engine.cache.account_for_venue(VENUE).balance_total(USDT))
        engine.dispose()
        return strategy, final

    def scores(self) -> Scores:
        runs = (self._run(int(shift)) for shift in self.work.shifts)
        return Scores.of_curves((np.array([*strategy.equity[:-1], final]) for strategy, final in runs), CAPITAL)

    def trades(self) -> Trades:
        rows = [
            (number, *one) for number, shift in enumerate(self.work.shifts) for one in self._run(int(shift))[0].trades
        ]
        return Trades.of(*(np.array([row[place] for row in rows]) for place in range(5)))
