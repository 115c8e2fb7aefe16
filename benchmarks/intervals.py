"""How wide intervals are on real bars, and whether finer bars leave them: the tables of docs/concepts/intervals.md.

Run by `python -m benchmarks.intervals [SHARED] [--widths]`; needs the folder of real market data. `--widths` leaves the
table of trailing stops out.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from backtest.base.config import RunConfig
from backtest.catalysts.reading import open_calendar
from backtest.engine.replay import replay
from backtest.engine.run import Run
from backtest.engine.useful import most_useful, total_width
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.record import Market
from backtest.signals.strategy import Intent, Intents
from backtest.strategies import REGISTRY

PLAIN = RunConfig(impact=0.0, participation=float("inf"), funding_unknown="zero")
TIGHT = {"stop_loss": 0.02, "take_profit": 0.02, "trailing_stop": 0.02}
TRAILS = (0.005, 0.01, 0.02, 0.05)
FINER = (("ZEC/USDT:USDT", "binance-usdm-2025q4/freqtrade"), ("ZEN/USDT:USDT", "binance-usdm-5m-2025q4"))


def unfunded(market: Market) -> Market:
    """The market without funding: the folders of finer bars have none."""
    return replace(market, funding=np.zeros_like(market.funding))


def trails(shared: Path) -> Iterator[str]:
    """A row a coin and trail: trades, those outside on finer bars in any stop order, mean width before and after."""
    yield "| coin | trail | trades | outside | mean width, hours | mean width, 5 m bars |"
    yield "|---|---|---|---|---|---|"
    hours = unfunded(open_dataset(str(shared / "market" / "binance-usdm-2025q4")))
    for symbol, folder in FINER:
        finer = unfunded(open_dataset(str(shared / "market" / folder)))
        for trail in TRAILS:
            moments = range(finer.start_ms, finer.end_ms, 6 * hours.bar_ms)
            hold = 5 * hours.bar_ms
            intents = Intents(
                tuple(
                    Intent(instrument=symbol, decided_at_ms=at, weight=0.5, trailing_stop=trail, hold_ms=hold)
                    for at in moments
                )
            )
            coarse = replay(hours, intents, PLAIN).trades.set_index("decided_at")
            notional = coarse["quantity"] * coarse["entry_price"]
            outside: set[object] = set()
            width = 0.0
            for order in ("pessimistic", "optimistic", "adverse_first"):
                config = PLAIN.model_copy(update={"stop_order": order})
                fine = replay(finer, intents, config).trades.set_index("decided_at")
                both = coarse.index.intersection(fine.index)
                share = fine["net_return"].loc[both]
                low, high = (coarse[name].loc[both] / notional.loc[both] for name in ("net_low", "net_high"))
                outside |= set(both[(share < low - 1e-9) | (share > high + 1e-9)])
                width = float(
                    ((fine["net_high"] - fine["net_low"]) / (fine["quantity"] * fine["entry_price"])).loc[both].mean()
                )
            mean = float(((coarse["net_high"] - coarse["net_low"]) / notional).loc[both].mean())
            coin = symbol.partition("/")[0]
            yield f"| {coin} | {trail:.1%} | {len(both)} | {len(outside)} | {mean:.2%} | {width:.2%} |"


def useful(market: Market, finer: Market, config: RunConfig, levels: dict[str, float]) -> Iterator[str]:
    """A row a strategy: width of its intervals before, and after its ten most useful bars have their detail.

    Strategies without a trade in doubt are counted in the last line.
    """
    yield "| strategy | trades | in doubt | width | bars given | width after |"
    yield "|---|---|---|---|---|---|"
    calendar, certain = open_calendar("privacy-2025"), []
    for name, kind in REGISTRY.items():
        strategy = kind({key: value for key, value in levels.items() if key in kind.parameters_type.model_fields})
        intents = strategy.decide(market, calendar)
        run = replay(market, intents, config, calendar=calendar, strategy=name)
        doubtful = int(run.intervals.ambiguous.sum())
        if not doubtful:
            certain.append(name)
            continue
        bars = most_useful([run])
        held = [bar for bar in bars if bar.symbol in finer.symbols and finer.start_ms <= bar.open_ms < finer.end_ms]
        before, after = total_width([run]), total_width([narrowed(run, intents, finer, held[:10])])
        yield f"| {name} | {len(run.trades)} | {doubtful} | {before:,.0f} | {len(held[:10])} | {after:,.0f} |"
    yield f"\nNothing in doubt: {', '.join(certain) or 'none'}."


def simulated(market: Market, seed: int = 1) -> Market:
    """Finer bars that the sample does not have, made up: a twelfth each of a straight walk over both extremes."""
    up = np.random.default_rng(seed).random(market.close.shape) < 0.5
    turns = np.stack(
        (
            market.open,
            np.where(up, market.high, market.low),
            np.where(up, market.low, market.high),
            market.close,
        )
    )
    steps = np.arange(4) / 4
    legs = itertools.pairwise(turns)
    opens = np.concatenate([start + (end - start) * step for start, end in legs for step in steps])
    shape = (12, *market.close.shape)
    opens = opens.reshape(shape)
    closes = np.concatenate((opens[1:], market.close[None]))
    flat = lambda values: np.ascontiguousarray(values.transpose(1, 0, 2).reshape(-1, shape[2]))  # noqa: E731
    unknown = np.full((12 * shape[1], shape[2]), np.nan)
    return Market(
        index=pd.date_range(market.index[0], periods=len(unknown), freq="5min"),
        timeframe="5m",
        instruments=market.instruments,
        open=flat(opens),
        high=flat(np.maximum(opens, closes)),
        low=flat(np.minimum(opens, closes)),
        close=flat(closes),
        volume=flat(np.broadcast_to(market.volume / 12, shape)),
        open_interest=unknown,
        funding=unknown,
    )


def narrowed(run: Run, intents: Intents, finer: Market, bars: list) -> Run:  # type: ignore[type-arg]
    """The run again with finer bars of these bars only."""
    keep = np.zeros(finer.close.shape, dtype=np.bool_)
    for bar in bars:
        inside = (finer.open_ms >= bar.open_ms) & (finer.open_ms < bar.open_ms + run.market.bar_ms)
        keep[inside, finer.column(bar.symbol)] = True
    parts = {name: np.where(keep, getattr(finer, name), np.nan) for name in ("open", "high", "low", "close", "volume")}
    return replay(run.market, intents, run.config, calendar=run.calendar, detail=replace(finer, **parts))


def main() -> None:
    """Print every table."""
    given = [word for word in sys.argv[1:] if word != "--widths"]
    shared = Path(given[0] if given else Path(__file__).parents[1] / ".." / "shared")
    if "--widths" not in sys.argv:
        print("\n".join(trails(shared)), end="\n\n")
    hours = open_dataset(str(shared / "market" / "binance-usdm-2025q4"))
    finer = open_dataset(str(shared / "market" / FINER[0][1]))
    sample = open_dataset(default_dataset())
    for levels in ({}, TIGHT):
        print("\n".join(useful(hours, finer, RunConfig(), levels)), end="\n\n")
        print("\n".join(useful(sample, simulated(sample), RunConfig(), levels)), end="\n\n")


if __name__ == "__main__":
    main()
