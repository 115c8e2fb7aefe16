"""Limit, stop and margin cases as nautilus_trader replays them, written to `tests/engine/nautilus_cases.json`.

It is run by hand in an environment of its own, since nautilus_trader (LGPL) is no dependency of the project:

    python -m venv /tmp/nautilus && /tmp/nautilus/bin/pip install nautilus_trader==1.221.0
    /tmp/nautilus/bin/python tools/nautilus_cases.py

A strategy decides at the close of bar `at` - 1, its venue walks each bar open, high, low, close, and what is still open
after the last bar is sold at its close. Orders are 100 units, without fees; exits are sent when the entry has filled.
`tests/engine/test_against_nautilus.py` replays the same bars and orders, and names each difference.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "tests" / "engine" / "nautilus_cases.json"
HOUR_NS = 3_600_000_000_000
START_NS = 1_759_276_800_000_000_000
UNITS = 100

FLAT, CALM, BOTH = [100, 100, 100, 100], [100, 101, 99, 100], [100, 106, 94, 100]
FALL, RISE = [98, 99, 94, 97], [101, 106, 100, 104]
STEPS = [[100, 104, 100, 104], [104, 108, 104, 108], [108, 108, 103, 103], [103, 103, 99, 99]]

ORDERS: list[tuple[str, list[list[float]], dict[str, float]]] = [
    ("market, left at an open", [CALM, CALM, FLAT], {"until": 3}),
    ("market, held to the end", [[100, 104, 100, 104], [104, 106, 103, 105]], {}),
    ("market short", [[100, 101, 96, 97], [97, 98, 95, 96]], {"side": -1}),
    ("limit inside a bar", [FALL, FLAT, FLAT], {"limit": 0.05}),
    ("limit touched only", [[98, 99, 95, 97], FLAT, FLAT], {"limit": 0.05}),
    ("limit passed when it arrives", [[93, 96, 92, 95], FLAT, FLAT], {"limit": 0.05}),
    ("limit passed by a later open", [[98, 99, 97, 98], [93, 96, 92, 95], FLAT], {"limit": 0.05}),
    ("sell limit", [RISE, FLAT, FLAT], {"side": -1, "limit": 0.05}),
    ("limit never reached", [[98, 99, 96, 97], FLAT, FLAT], {"limit": 0.05}),
    ("limit that expires before it is reached", [[98, 99, 96, 97], [97, 98, 94, 95], FLAT],
     {"limit": 0.05, "expires": 1}),
    ("stop entry inside a bar", [RISE, FLAT, FLAT], {"stop_entry": 0.05}),
    ("stop entry passed by an open", [[107, 108, 106, 107], FLAT, FLAT], {"stop_entry": 0.05}),
    ("stop entry touched only", [[101, 105, 100, 104], FLAT, FLAT], {"stop_entry": 0.05}),
    ("sell stop", [[99, 100, 94, 96], FLAT, FLAT], {"side": -1, "stop_entry": 0.05}),
    ("stop", [CALM, [100, 101, 94, 96], FLAT], {"stop_loss": 0.05}),
    ("stop touched only", [CALM, [100, 101, 95, 96], FLAT], {"stop_loss": 0.05}),
    ("stop passed by an open", [CALM, [93, 94, 92, 93], FLAT], {"stop_loss": 0.05}),
    ("stop in its own bar", [[100, 101, 94, 96], FLAT], {"stop_loss": 0.05}),
    ("stop of a short", [CALM, [100, 106, 99, 104], FLAT], {"side": -1, "stop_loss": 0.05}),
    ("target", [CALM, [100, 106, 99, 104], FLAT], {"take_profit": 0.05}),
    ("target touched only", [CALM, [100, 105, 99, 104], FLAT], {"take_profit": 0.05}),
    ("target passed by an open", [CALM, [107, 108, 106, 107], FLAT], {"take_profit": 0.05}),
    ("target of a short", [CALM, [100, 101, 94, 96], FLAT], {"side": -1, "take_profit": 0.05}),
    ("stop and target in one bar", [CALM, BOTH, FLAT], {"stop_loss": 0.05, "take_profit": 0.05}),
    ("limit, then its target", [FALL, [97, 101, 97, 99], FLAT], {"limit": 0.05, "take_profit": 0.05}),
    ("limit, its stop in its bar", [[98, 99, 90, 97], FLAT, FLAT], {"limit": 0.05, "stop_loss": 0.04}),
    ("stop entry, then its stop", [RISE, [104, 104, 98, 99], FLAT], {"stop_entry": 0.05, "stop_loss": 0.04}),
    ("trailing stop", STEPS, {"trailing_stop": 0.05}),
]  # fmt: skip

MARGINS: list[tuple[str, float, list[list[float]], dict[str, float]]] = [
    # Units, and leverage of the account; the maintenance rate is that of the venue's instrument.
    ("long at five times", 100.0, [CALM, CALM], {"leverage": 5, "maintenance": 0.02}),
    ("short at ten times", -100.0, [CALM, CALM], {"leverage": 10, "maintenance": 0.01}),
    ("long of a higher tier", 1_000.0, [CALM, CALM], {"leverage": 5, "maintenance": 0.025}),
    ("long that falls through its maintenance", 100.0, [CALM, [100, 100, 80, 90]],
     {"leverage": 5, "maintenance": 0.02}),
    ("short that rises through its maintenance", -100.0, [CALM, [100, 120, 100, 112]],
     {"leverage": 10, "maintenance": 0.02}),
]  # fmt: skip


def replayed(bars: list[list[float]], order: dict[str, float], leverage: float, maintenance: float) -> dict[str, Any]:
    """Trades of one order over one flat bar and the bars given, with what the account holds when it is open."""
    import pandas as pd
    from nautilus_trader.accounting.margin_models import StandardMarginModel
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.backtest.models import FillModel
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USDT, ZEC
    from nautilus_trader.model.data import Bar, BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce, TrailingOffsetType
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import CryptoPerpetual
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    venue, free = Venue("SIM"), Decimal(0)
    name = InstrumentId(Symbol("ZECUSDT-PERP"), venue)
    instrument = CryptoPerpetual(
        instrument_id=name, raw_symbol=Symbol("ZECUSDT"), base_currency=ZEC, quote_currency=USDT,
        settlement_currency=USDT, is_inverse=False, price_precision=4, price_increment=Price.from_str("0.0001"),
        size_precision=3, size_increment=Quantity.from_str("0.001"), ts_event=0, ts_init=0,
        margin_init=Decimal(1) / Decimal(str(leverage)), margin_maint=Decimal(str(maintenance)),
        maker_fee=free, taker_fee=free,
    )  # fmt: skip
    kind = BarType.from_str(f"{name}-1-HOUR-LAST-EXTERNAL")
    side = int(order.get("side", 1))
    opening, closing = (OrderSide.BUY, OrderSide.SELL)[::side]

    class OneOrder(Strategy):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.entered, self.told = 0, None, {}

        def on_start(self) -> None:
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            self.seen += 1
            if self.seen == 1:
                self.submit_order(self._entry(float(bar.close)))
            if self.seen == order.get("until"):
                self.cancel_all_orders(name)
                self.close_all_positions(name)
            if self.seen == 2:
                account = self.cache.account_for_venue(venue)
                self.told = {"maintenance": float(account.margins()[name].maintenance) if account.margins() else 0.0}

        def _entry(self, close: float) -> Any:
            units = Quantity(abs(order.get("units", UNITS)), 3)
            if "limit" in order:
                more: dict[str, Any] = {}
                if "expires" in order:
                    until = pd.Timestamp(START_NS + int(1 + order["expires"]) * HOUR_NS, tz="UTC")
                    more = {"time_in_force": TimeInForce.GTD, "expire_time": until}
                return self.order_factory.limit(
                    name, opening, units, Price(close * (1 - side * order["limit"]), 4), **more
                )
            if "stop_entry" in order:
                level = Price(close * (1 + side * order["stop_entry"]), 4)
                return self.order_factory.stop_market(name, opening, units, level)
            return self.order_factory.market(name, opening, units)

        def on_position_opened(self, event: Any) -> None:
            paid, units = float(event.avg_px_open), event.quantity
            if "stop_loss" in order:
                level = Price(paid * (1 - side * order["stop_loss"]), 4)
                self.submit_order(self.order_factory.stop_market(name, closing, units, level, reduce_only=True))
            if "take_profit" in order:
                level = Price(paid * (1 + side * order["take_profit"]), 4)
                self.submit_order(self.order_factory.limit(name, closing, units, level, reduce_only=True))
            if "trailing_stop" in order:
                self.submit_order(
                    self.order_factory.trailing_stop_market(
                        name, closing, units, reduce_only=True,
                        trailing_offset=Decimal(str(order["trailing_stop"])) * 10_000,
                        trailing_offset_type=TrailingOffsetType.BASIS_POINTS,
                    )
                )  # fmt: skip

        def on_position_closed(self, _event: Any) -> None:
            self.cancel_all_orders(name)

        def on_stop(self) -> None:
            self.cancel_all_orders(name)
            self.close_all_positions(name)

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USDT)], base_currency=USDT,
        default_leverage=Decimal(1), margin_model=StandardMarginModel(), fill_model=FillModel(),
    )  # fmt: skip
    engine.add_instrument(instrument)
    rows = [FLAT, *bars]
    engine.add_data([
        Bar(kind, *(Price(one, 4) for one in row), Quantity(1e6, 3), ts, ts)
        for row, ts in zip(rows, range(START_NS + HOUR_NS, START_NS + (len(rows) + 1) * HOUR_NS, HOUR_NS), strict=True)
    ])  # fmt: skip
    strategy = OneOrder()
    engine.add_strategy(strategy)
    engine.run()
    found = []
    for one in [*engine.cache.positions(), *engine.cache.position_snapshots()]:
        if one.is_closed:
            # A bar is told at its close: what was filled while it was read filled in it, or at its close.
            entry, left = ((ts - START_NS) // HOUR_NS - 1 for ts in (one.ts_opened, one.ts_closed))
            found.append([entry, left, float(one.avg_px_open), float(one.avg_px_close), side * float(one.peak_qty)])
    engine.dispose()
    return {"trades": found, "margin": strategy.told}


def _lines(rows: list[dict[str, Any]]) -> str:
    return ",\n".join(json.dumps(row) for row in rows)


def main() -> None:
    """Replay every case and write the fixture."""
    import nautilus_trader

    document: dict[str, Any] = {
        "made_by": f"tools/nautilus_cases.py with nautilus_trader {nautilus_trader.__version__}",
        "trade": ["bar of entry", "bar of exit", "entry price", "exit price", "units"],
        "orders": [
            {"name": name, "bars": bars, "order": order, "trades": replayed(bars, order, 1.0, 0.02)["trades"]}
            for name, bars, order in ORDERS
        ],
        "margins": [
            {"name": name, "bars": bars, "units": units, **rules,
             **replayed(bars, {"side": 1 if units > 0 else -1, "units": units}, **rules)}
            for name, units, bars, rules in MARGINS
        ],
    }  # fmt: skip
    parts = [f'"{key}": {json.dumps(document[key])}' for key in ("made_by", "trade")]
    parts += [f'"{key}": [\n{_lines(document[key])}\n]' for key in ("orders", "margins")]
    TARGET.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    sys.stdout.write(f"{TARGET}: {len(document['orders'])} orders, {len(document['margins'])} margins\n")


if __name__ == "__main__":
    main()
