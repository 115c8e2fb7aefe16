"""One replay of one strategy as tables with names and times, each built on first use."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.config import RunConfig
from backtest.base.deprecation import RenamedAttribute
from backtest.base.display import Shown, View, cell, percent
from backtest.base.units import duration_ms
from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import known_at_ms
from backtest.engine import layout
from backtest.engine.accounts import account_currency, quoted
from backtest.engine.bounds import Intervals
from backtest.engine.enumeration import bounds_of
from backtest.engine.layout import COSTS, CUTS, EXITS, FILL_COSTS, PHASES, VERDICTS, CostBreakdown, Term
from backtest.engine.moves import moves
from backtest.engine.notes import Counted, counted_notes, cross_notes, notes_of, unfunded
from backtest.engine.prepared import Prepared
from backtest.engine.recorded import columns_of, entries_of, exit_fills, exit_loads, last_fills
from backtest.engine.run_bounds import RunBounds
from backtest.market.record import Market
from backtest.signals.strategy import Intents

if TYPE_CHECKING:
    import vectorbt


@dataclass(frozen=True, eq=False, repr=False)
class Run(Shown):
    """One replay of one strategy; its tables are built on first use.

    Attributes
    ----------
    strategy : str
    prepared : Prepared
        The market and configuration that were replayed.
    intents : Intents
    calendar : Calendar
        Supplies the announcements for the moves, and the rows of the table of catalysts.
    book : Book
        What the kernel recorded, as arrays.
    statistics : (8,) float64
        `backtest.engine.layout.STATISTICS`.
    intervals : Intervals
        What the bars allow for each position, given its entry.
    """

    strategy: str
    prepared: Prepared
    intents: Intents
    calendar: Calendar
    book: layout.Book
    statistics: npt.NDArray[np.float64]
    intervals: Intervals

    @property
    def market(self) -> Market:
        """The market of the replay."""
        return self.prepared.market

    @property
    def config(self) -> RunConfig:
        """The configuration of the replay."""
        return self.prepared.config

    @cached_property
    def equity(self) -> pd.Series[float]:
        """(T,) quote currency, marked at each bar's close, indexed by bar open."""
        return pd.Series(self.book.equity, self.market.index, name="equity")

    @cached_property
    def funding_paid(self) -> pd.Series[float]:
        """(T,) quote currency paid (negative: received) at each bar's close."""
        return pd.Series(self.book.funding, self.market.index, name="funding_paid")

    @cached_property
    def fills(self) -> pd.DataFrame:
        """One row per fill in order of execution; `bar` is the open of its bar, `phase` the position within it."""
        return _fills(self.book, self.market, self.intents)

    @cached_property
    def last_fills(self) -> npt.NDArray[np.bool_]:
        """(F,) whether a fill closed its position."""
        return last_fills(self.book)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """One row per closed position in order of exit; of one that left in several fills the last says when and why.

        `net_return` is net / entry notional; `before`, `waited` and `captured` are its three moves
        (`backtest.engine.moves`); the first two are NaN if there is no catalyst or no bar before it. `net_low`
        and `net_high` are the least and the greatest net over every path that the bars allow, given the entry; a trade
        that can end in more than one way is `ambiguous`.
        """
        return _trades(self)

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """One row per intent that opened no position, with its enumerated reason."""
        return _rejected(self.book, self.intents)

    @cached_property
    def catalysts(self) -> pd.DataFrame:
        """One row per catalyst of the calendar, with its outcome."""
        return _catalysts(self.calendar, self.market, self.trades, self.rejected)

    @property
    def currency(self) -> str:
        """The currency of the account, in which the instruments of the intents settle."""
        return account_currency(self.market, [self.market.column(row.instrument) for row in self.intents.rows])

    ledger = RenamedAttribute("costs", gone_in="0.3")

    @cached_property
    def costs(self) -> CostBreakdown:
        """The costs between gross and net, summed over all trades."""
        return CostBreakdown(**{name: float(self.trades[name].sum()) for name in ("gross", *COSTS, "net")})

    @cached_property
    def bounds(self) -> RunBounds:
        """Least and greatest net, Sharpe ratio and drawdown over every path that the bars allow."""
        orders = self.prepared.orders(self.intents)
        return bounds_of(orders, self.prepared, self.book, self.statistics, self.intervals)

    @property
    def shortfall(self) -> float:
        """What a bankrupt account has lost beyond its capital, currency of the account; 0 if it is not bankrupt.

        Its trades keep their whole loss, so their net and the shortfall sum to the change of equity. Only the account
        of cross margin has one.
        """
        if self.config.margin != "cross":
            return 0.0
        return max(-self.config.capital - float(self.trades["net"].sum()), 0.0)

    @property
    def net_low(self) -> float:
        """Least net of the whole run over every path that the bars allow, quote currency."""
        return self.bounds.net_low

    @property
    def net_high(self) -> float:
        """Greatest net of the whole run over every path that the bars allow, quote currency."""
        return self.bounds.net_high

    @property
    def exposure(self) -> float:
        """Share of bars in which any position was held."""
        return float(self.statistics[layout.EXPOSURE])

    @property
    def hashes(self) -> dict[str, str]:
        """First 16 hex digits of the hashes of config, data and calendar."""
        return {**self.prepared.hashes, "calendar": self.calendar.hash()}

    @cached_property
    def unfunded(self) -> frozenset[str]:
        """Instruments held over bars with unknown funding."""
        return unfunded(self.trades)

    @cached_property
    def counted(self) -> tuple[Counted, ...]:
        """Notes about some of the trades, each with their number."""
        return counted_notes(self.trades, self.config, self.intervals)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences that must be shown with the results: the label of the data, unknown funding."""
        notes = notes_of(self.market, self.config, self.trades, self.currency)
        if self.config.margin == "cross":
            notes = (*notes, *cross_notes(self.config, self.trades, self.shortfall))
        return (*notes, *(one.note for one in self.counted))

    @property
    def portfolio(self) -> vectorbt.Portfolio:
        """The account as a vectorbt Portfolio, at its real capital and after funding (`backtest.engine.portfolio`)."""
        from backtest.engine.portfolio import account_portfolio

        return account_portfolio(self)

    def _line(self) -> str:
        net = percent(self.costs.net / self.config.capital)
        return (
            f"{self.strategy or 'intents'} on {self.market.provenance.name}: net {net} in {len(self.trades)} trades, "
            f"{len(self.rejected)} intents rejected"
        )

    def _label(self) -> str:
        return self.market.provenance.label

    def _view(self) -> View:
        dated = self.trades[self.trades["before"].notna()]
        none = "no trade has a catalyst with a close before it"
        shares = [(name, getattr(self.costs, name) / self.config.capital) for name in ("gross", *COSTS, "net")]
        row = [cell(share, percent) for _, share in shares]
        row += [cell(float(dated[name].mean()), percent, none) for name in ("before", "waited", "captured")]
        columns = (*(name for name, _ in shares), "mean before", "mean waited", "mean captured")
        notes = (f"gross less costs is net, as shares of {self.config.capital:,.0f}", *self.notes)
        return View(columns, [row], notes)


def _named(codes: npt.NDArray[np.int64], terms: tuple[Term, ...]) -> npt.NDArray[np.object_]:
    return np.array([term.name for term in terms], dtype=object)[codes]


def _symbols(columns: npt.NDArray[np.int64], market: Market) -> npt.NDArray[np.object_]:
    return np.array(market.symbols, dtype=object)[columns]


def _intent_fields(codes: npt.NDArray[np.int64], intents: Intents, field: str) -> list[Any]:
    return [getattr(intents.rows[k], field) for k in codes.tolist()]


def _fills(book: layout.Book, market: Market, intents: Intents) -> pd.DataFrame:
    """Fills with names and times; sums of money, not shares."""
    raw = columns_of(
        book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("row", "phase", "column", "intent", "reason", "side", "cut")
    )
    notional = raw["quantity"] * raw["price"]
    raw = quoted(raw, market, ("reference", "price"))
    return pd.DataFrame(
        {
            "bar": market.index[raw["row"]],
            "phase": _named(raw["phase"], PHASES),
            "instrument": _symbols(raw["column"], market),
            "catalyst_id": _intent_fields(raw["intent"], intents, "catalyst_id"),
            "reason": _named(raw["reason"], EXITS),
            "side": raw["side"],
            "quantity": raw["quantity"],
            "reference": raw["reference"],
            "price": raw["price"],
            "notional": notional,
            **{cost: raw[cost] for cost in FILL_COSTS},
            "cut": _named(raw["cut"], CUTS),
            "granted": raw["granted"],
        }
    )


def _trades(run: Run) -> pd.DataFrame:
    """Closed positions with names, times, the three moves, and the interval of net."""
    book, prepared, intents, intervals = run.book, run.prepared, run.intents, run.intervals
    raw = columns_of(
        book.trades[: book.counts[1]],
        layout.TRADE_COLUMNS,
        ("intent", "column", "side", "entry_row", "exit_row", "reason", "exit_phase", "unknown_funding_bars"),
    )
    market, identifiers = prepared.market, _intent_fields(raw["intent"], intents, "catalyst_id")
    raw = quoted(raw, market, ("entry_price", "exit_price"))
    cut, granted = entries_of(book)
    at = raw["intent"]
    closes = raw["exit_phase"] == layout.AT_CLOSE
    three = moves(identifiers, raw, market, run.calendar, duration_ms(prepared.config.reaction))
    return pd.DataFrame(
        {
            "catalyst_id": identifiers,
            "instrument": _symbols(raw["column"], market),
            "side": raw["side"],
            "decided_at": pd.to_datetime(_intent_fields(raw["intent"], intents, "decided_at_ms"), unit="ms", utc=True),
            "entry_time": market.index[raw["entry_row"]],
            "exit_time": market.index[raw["exit_row"]] + pd.to_timedelta(closes * market.bar_ms, unit="ms"),
            "exit_phase": _named(raw["exit_phase"], PHASES),
            "reason": _named(raw["reason"], EXITS),
            "quantity": raw["quantity"],
            "entry_price": raw["entry_price"],
            "exit_price": raw["exit_price"],
            "before": three.before,
            "waited": three.waited,
            "captured": three.captured,
            "gross": raw["gross"],
            **{cost: raw[cost] for cost in COSTS},
            "net": raw["net"],
            "net_return": raw["net"] / raw["entry_notional"],
            "ambiguous": intervals.ambiguous[at],
            "net_low": intervals.net_low[at],
            "net_high": intervals.net_high[at],
            "unknown_funding_bars": raw["unknown_funding_bars"],
            "cut": _named(cut[at], CUTS),
            "granted": granted[at],
            "young": prepared.bars.young[raw["column"], raw["entry_row"]],
            "exit_load": exit_loads(book, prepared.bars)[at],
            "exit_fills": exit_fills(book)[at],
        }
    )


def _rejected(book: layout.Book, intents: Intents) -> pd.DataFrame:
    """Intents that opened nothing, each with its reason."""
    refused = [(row, VERDICTS[code].name) for row, code in zip(intents.rows, book.verdict, strict=True) if code]
    return pd.DataFrame(
        {
            "catalyst_id": [row.catalyst_id for row, _ in refused],
            "instrument": [row.instrument for row, _ in refused],
            "side": [row.side for row, _ in refused],
            "decided_at": pd.to_datetime([row.decided_at_ms for row, _ in refused], unit="ms", utc=True),
            "reason": [reason for _, reason in refused],
        }
    )


def _catalysts(calendar: Calendar, market: Market, trades: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    """Outcome of each catalyst: traded, the rejection of an intent, or why there was no intent."""
    traded = set(trades["catalyst_id"])
    refused = dict(zip(rejected["catalyst_id"], rejected["reason"], strict=True))
    rows = []
    for one in calendar:
        known = known_at_ms(one)
        if one.id in traded:
            outcome = "traded"
        elif one.id in refused:
            outcome = refused[one.id]
        elif known is None:
            outcome = "UNTIMED"
        elif not market.start_ms <= known < market.end_ms:
            outcome = "OUTSIDE_DATA"
        elif all(market.column_of(asset) is None for asset in one.assets):
            outcome = "NO_INSTRUMENT"
        else:
            outcome = "NOT_SELECTED"
        rows.append((one.id, ",".join(one.assets), one.kind, one.actor, one.when, known, outcome))
    table = pd.DataFrame(rows, columns=["catalyst_id", "assets", "kind", "actor", "announced", "known_at", "outcome"])
    table["known_at"] = pd.to_datetime(table["known_at"], unit="ms", utc=True)
    return table
