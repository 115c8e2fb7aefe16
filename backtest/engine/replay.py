"""From intents to a Run: rows for the kernel on the way in, tables with names and times on the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.catalysts.record import Calendar
from backtest.catalysts.timing import first_open_at_or_after, known_at_ms, last_close_before
from backtest.config import RunConfig
from backtest.display import Shown, View, cell, percent
from backtest.engine import layout
from backtest.engine.costs import kernel_bars, kernel_rules, last_known
from backtest.engine.layout import COSTS, CUTS, EXITS, FILL_COSTS, PHASES, VERDICTS, CostBreakdown, Term
from backtest.errors import DataError
from backtest.market.record import Market
from backtest.signals.strategy import NEVER_MS, Intents
from backtest.units import duration_ms, format_ms, to_ms

if TYPE_CHECKING:
    import vectorbt


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Run(Shown):
    """One replay of one strategy, as tables.

    Attributes
    ----------
    strategy : str
    market : Market
    intents : Intents
    config : RunConfig
    equity : Series (T,)
        Quote currency, marked at each bar's close, indexed by bar open.
    funding_paid : Series (T,)
        Quote currency paid (negative: received) at each bar's close.
    fills : DataFrame
        One row a fill in order of execution; `bar` is the open of its bar, `phase` where in it (open, inside, close).
    trades : DataFrame
        One row a closed position in order of exit. `net_return` is net / entry notional; `run_up` the signed move from
        the last close before the announcement to the fill (missed), `captured` from fill to exit; NaN where there
        is no catalyst or no bar before it. `net_low` and `net_high` bound net over both orders inside an ambiguous bar.
    rejected : DataFrame
        One row an intent that opened no position, with its enumerated reason.
    catalysts : DataFrame
        One row a catalyst of the calendar, with what became of it.
    costs : CostBreakdown
    net_low, net_high : float
        Net result of the whole run under the worse and the better of the two orders inside ambiguous bars.
    exposure : float
        Share of bars in which anything was held.
    hashes : dict of str
        config, data and calendar.
    notes : tuple of str
        Sentences that must be shown with the results: the label of the data, unknown funding.
    """

    strategy: str
    market: Market
    intents: Intents
    config: RunConfig
    equity: pd.Series[float]
    funding_paid: pd.Series[float]
    fills: pd.DataFrame
    trades: pd.DataFrame
    rejected: pd.DataFrame
    catalysts: pd.DataFrame
    costs: CostBreakdown
    net_low: float
    net_high: float
    exposure: float
    hashes: dict[str, str]
    notes: tuple[str, ...]

    @property
    def portfolio(self) -> vectorbt.Portfolio:
        """The vectorbt Portfolio of the same orders (see `backtest.engine.book`)."""
        from backtest.engine.book import portfolio_of

        return portfolio_of(self)

    def _line(self) -> str:
        net = percent(self.costs.net / self.config.capital)
        return (
            f"{self.strategy or 'intents'} on {self.market.provenance.name}: net {net} in {len(self.trades)} trades, "
            f"{len(self.rejected)} intents rejected"
        )

    def _label(self) -> str:
        return self.market.provenance.label

    def _view(self) -> View:
        dated = self.trades[self.trades["run_up"].notna()]
        none = "no trade has a catalyst with a close before it"
        shares = [(name, getattr(self.costs, name) / self.config.capital) for name in ("gross", *COSTS, "net")]
        row = [cell(share, percent) for _, share in shares]
        row += [cell(float(dated[name].mean()), percent, none) for name in ("run_up", "captured")]
        columns = (*(name for name, _ in shares), "mean run-up", "mean captured")
        notes = (f"gross less costs is net, as shares of {self.config.capital:,.0f}", *self.notes)
        return View(columns, [row], notes)


def rows_at_or_after(moments_ms: npt.NDArray[np.int64], market: Market) -> npt.NDArray[np.int64]:
    """Rows of the first bars that open at or after each moment, NEVER for moments never reached."""
    rows = first_open_at_or_after(np.minimum(moments_ms, NEVER_MS), market.start_ms, market.bar_ms)
    return np.where(moments_ms >= NEVER_MS, layout.NEVER, np.minimum(rows, layout.NEVER))


def kernel_orders(intents: Intents, market: Market, config: RunConfig) -> layout.Orders:
    """The intents in rows and bars, as one variation.

    Raises
    ------
    UsageError
        For an instrument that the market does not hold.
    """
    reaction, wait = duration_ms(config.reaction), duration_ms(config.max_wait)
    tradable_at = intents.decided_at_ms + reaction
    exit_at = intents.values("exit_at_ms").astype(np.int64)
    exit_at = np.where(exit_at >= NEVER_MS, NEVER_MS, exit_at + reaction)
    hold = intents.values("hold_ms").astype(np.int64)
    hold_bars = np.where(hold >= NEVER_MS, layout.NEVER, np.minimum(-(-hold // market.bar_ms), layout.NEVER))
    latest = np.clip((tradable_at + wait - market.start_ms) // market.bar_ms, -1, layout.NEVER)
    names = list(dict.fromkeys(row.group for row in intents.rows if row.group))
    group = [names.index(row.group) if row.group else -1 for row in intents.rows]
    column = [market.column(row.instrument) for row in intents.rows]

    def whole(values: npt.ArrayLike) -> npt.NDArray[np.int32]:
        return np.asarray(values, dtype=np.int32).reshape(1, -1)

    def real(name: str) -> npt.NDArray[np.float64]:
        return intents.values(name).astype(np.float64).reshape(1, -1)

    return layout.Orders(
        earliest=whole(rows_at_or_after(tradable_at, market)),
        latest=whole(latest),
        exit_row=whole(rows_at_or_after(exit_at, market)),
        hold=whole(hold_bars),
        column=whole(column),
        side=real("side"),
        weight=real("weight"),
        stop_loss=real("stop_loss"),
        take_profit=real("take_profit"),
        trailing_stop=real("trailing_stop"),
        group=whole(group),
        shift=np.zeros(1, dtype=np.int32),
    )


def replay(
    market: Market,
    intents: Intents,
    config: RunConfig,
    *,
    calendar: Calendar | None = None,
    strategy: str = "",
    detail: Market | None = None,
) -> Run:
    """Replay intents over a market.

    Parameters
    ----------
    calendar
        Gives run-up its announcements, and the Run its table of catalysts.
    detail
        Finer bars of some of the instruments, to resolve the order of exits inside a bar.

    Raises
    ------
    DataError
        Where a position meets unknown funding under the policy `error`.
    UsageError
        For an instrument that the market does not hold.
    """
    calendar = calendar or Calendar("none", ())
    orders, bars = kernel_orders(intents, market, config), kernel_bars(market, config, detail)
    rules = kernel_rules(config, market.bar_ms)
    book, statistics = _recorded(orders, bars, rules)
    _check_funding(statistics, market)
    fills = _fills(book, market, intents)
    trades = _trades(book, market, intents, calendar)
    rejected = _rejected(book, intents)
    net = [float(book.equity[-1]) - config.capital]
    if trades["ambiguous"].any():
        twin, _ = _recorded(orders, bars, rules._replace(favourable_first=not rules.favourable_first))
        net.append(float(twin.equity[-1]) - config.capital)
    return Run(
        strategy=strategy,
        market=market,
        intents=intents,
        config=config,
        equity=pd.Series(book.equity, market.index, name="equity"),
        funding_paid=pd.Series(book.funding, market.index, name="funding_paid"),
        fills=fills,
        trades=trades,
        rejected=rejected,
        catalysts=_catalysts(calendar, market, trades, rejected),
        costs=CostBreakdown(**{name: float(trades[name].sum()) for name in ("gross", *COSTS, "net")}),
        net_low=min(net),
        net_high=max(net),
        exposure=float(statistics[layout.EXPOSURE]),
        hashes={"config": config.hash(), "data": market.sha256()[:16], "calendar": calendar.hash()},
        notes=_notes(market, config, trades),
    )


def _recorded(
    orders: layout.Orders, bars: layout.Bars, rules: layout.Rules
) -> tuple[layout.Book, npt.NDArray[np.float64]]:
    """The book of one replay, and its statistics with the row and column of a fault behind them."""
    from backtest.engine.kernel import replay_one

    rows, count = bars.panel.shape[1], orders.earliest.shape[1]
    book = layout.Book(
        np.empty(rows),
        np.zeros(rows),
        np.empty((2 * count, len(layout.FILL_COLUMNS))),
        np.empty((count, len(layout.TRADE_COLUMNS))),
        np.zeros(count, np.int8),
        np.zeros(2, np.int32),
    )
    return book, replay_one(orders, bars, rules, book)


def _check_funding(statistics: npt.NDArray[np.float64], market: Market) -> None:
    row, column = (int(value) for value in statistics[-2:])
    if row >= 0:
        raise DataError(
            f"funding of {market.symbols[column]} is unknown at {format_ms(int(market.open_ms[row]))} while a position "
            "is open: fetch its funding, or choose --funding const (charged against the position) or --funding zero"
        )


def _table(rows: npt.NDArray[np.float64], columns: tuple[str, ...], whole: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(dict.fromkeys(whole, np.int64))


def _named(codes: pd.Series[int], terms: tuple[Term, ...]) -> npt.NDArray[np.object_]:
    return np.array([term.name for term in terms], dtype=object)[codes.to_numpy()]


def _symbols(columns: pd.Series[int], market: Market) -> npt.NDArray[np.object_]:
    return np.array(market.symbols, dtype=object)[columns.to_numpy()]


def _intent_fields(codes: pd.Series[int], intents: Intents, field: str) -> list[Any]:
    return [getattr(intents.rows[k], field) for k in codes]


def _fills(book: layout.Book, market: Market, intents: Intents) -> pd.DataFrame:
    """Fills with names and times; sums of money, not shares."""
    raw = _table(
        book.fills[: book.counts[0]], layout.FILL_COLUMNS, ("row", "phase", "column", "intent", "reason", "side", "cut")
    )
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
            **{cost: raw[cost] for cost in FILL_COSTS},
            "cut": _named(raw["cut"], CUTS),
        }
    )


def _trades(book: layout.Book, market: Market, intents: Intents, calendar: Calendar) -> pd.DataFrame:
    """Closed positions with names, times, run-up against captured, and the bounds of both orders inside a bar."""
    raw = _table(
        book.trades[: book.counts[1]],
        layout.TRADE_COLUMNS,
        ("intent", "column", "side", "entry_row", "exit_row", "reason", "exit_phase", "unknown_funding_bars"),
    )
    ambiguous = raw["ambiguous"] > 0
    other = raw["other_net"].where(ambiguous, raw["net"])
    closes = raw["exit_phase"] == layout.AT_CLOSE
    return pd.DataFrame(
        {
            "catalyst_id": _intent_fields(raw["intent"], intents, "catalyst_id"),
            "instrument": _symbols(raw["column"], market),
            "side": raw["side"],
            "decided_at": pd.to_datetime(_intent_fields(raw["intent"], intents, "decided_at_ms"), unit="ms", utc=True),
            "entry_time": market.index[raw["entry_row"]],
            "exit_time": market.index[raw["exit_row"]] + pd.to_timedelta(closes.to_numpy() * market.bar_ms, unit="ms"),
            "exit_phase": _named(raw["exit_phase"], PHASES),
            "reason": _named(raw["reason"], EXITS),
            "quantity": raw["quantity"],
            "entry_price": raw["entry_price"],
            "exit_price": raw["exit_price"],
            "run_up": _run_up(raw, market, intents, calendar),
            "captured": raw["side"] * (raw["exit_price"] / raw["entry_price"] - 1.0),
            "gross": raw["gross"],
            **{cost: raw[cost] for cost in COSTS},
            "net": raw["net"],
            "net_return": raw["net"] / raw["entry_notional"],
            "ambiguous": ambiguous,
            "net_low": np.minimum(raw["net"], other),
            "net_high": np.maximum(raw["net"], other),
            "unknown_funding_bars": raw["unknown_funding_bars"],
        }
    )


def _run_up(raw: pd.DataFrame, market: Market, intents: Intents, calendar: Calendar) -> npt.NDArray[np.float64]:
    """(trades,) signed move from the last close before the announcement to the fill price; NaN where unknown."""
    announced = {one.id: to_ms(one.announced_at) for one in calendar if one.announced_at is not None}
    marks = last_known(market.close)
    result = np.full(len(raw), np.nan)
    for place, (k, column, side, price) in enumerate(
        zip(raw["intent"], raw["column"], raw["side"], raw["entry_price"], strict=True)
    ):
        moment = announced.get(intents.rows[k].catalyst_id)
        row = -1 if moment is None else last_close_before(moment, market.start_ms, market.bar_ms)
        if row >= 0:
            result[place] = side * (price / marks[min(row, len(marks) - 1), column] - 1.0)
    return result


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
    """What became of each catalyst: traded, an intent's rejection, or why no intent came of it."""
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


def _notes(market: Market, config: RunConfig, trades: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    if market.provenance.label:
        notes.append(f"{market.provenance.label}: {market.provenance.source}")
    unknown = trades.loc[trades["unknown_funding_bars"] > 0, "instrument"].unique()
    if len(unknown):
        how = {
            "zero": "counted as zero",
            "const": f"charged at {config.funding_const:.4%} per 8 h against the position",
        }
        notes.append(
            f"funding unknown for {', '.join(sorted(unknown))}: {how[config.funding_unknown]} "
            "(--funding error, zero or const)"
        )
    return tuple(notes)
