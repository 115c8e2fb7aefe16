"""The arrays that pass between replay and kernel: their columns, codes and shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, get_type_hints

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I1 = npt.NDArray[np.int8]

NEVER = 2**30
"""Row or count of bars that is never reached."""

OPEN, HIGH, LOW, CLOSE, MARK, FUNDING, IMPACT, CAPACITY = range(8)
PANEL_WIDTH = 8


class Term(NamedTuple):
    """What can become of an order, declared once: its code is its place in its tuple."""

    name: str
    """As tables and documents write it."""
    words: str
    """For people."""
    short: str = ""
    """For a table of 80 columns, where the name is too long for one."""


EXITS = (
    Term("entry", "the position was opened"),
    Term("liquidation", "its margin was used up", "margin"),
    Term("stop_loss", "its stop was reached", "stop"),
    Term("trailing_stop", "the price fell back from its peak to the trailing stop", "trail"),
    Term("take_profit", "its target was reached", "target"),
    Term("signal", "the decided exit"),
    Term("time", "its time limit"),
    Term("group", "another leg of its group left"),
    Term("end_of_data", "the data end", "end"),
    Term("delisted", "the instrument stopped trading", "delist"),
)
"""Reasons of fills: the entry, then the exits, in the order in which a tie between two is broken."""
ENTRY, LIQUIDATION, STOP_LOSS, TRAILING_STOP, TAKE_PROFIT, SIGNAL, TIME, GROUP_EXIT, END_OF_DATA, DELISTED = range(
    len(EXITS)
)

VERDICTS = (
    Term("accepted", "it opened a position"),
    Term("NO_BAR", "no tradable bar before it expired"),
    Term("EXPIRED", "its decided exit lies at or before its entry"),
    Term("SPOT_SHORT", "a spot instrument cannot be sold short"),
    Term("IN_POSITION", "the instrument is held already"),
    Term("EXTENDED", "it lengthened the position held"),
    Term("LIQUIDITY_UNKNOWN", "volume or volatility is unknown"),
    Term("CAPACITY", "no volume to take part in"),
    Term("GROSS_CAP", "the gross cap is used up"),
    Term("NO_CASH", "no cash is free"),
    Term("GROUP", "another leg of its group was rejected"),
    Term("UNFILLED", "its limit or stop was not reached before it expired"),
    Term("TOO_SMALL", "less than one lot, or than the venue's least notional"),
    Term("LEVERAGE", "more leverage than the venue allows at this size"),
    Term("BANKRUPT", "the account, which backs all contracts, is used up"),
)
"""What became of an intent."""
(
    ACCEPTED,
    NO_BAR,
    EXPIRED,
    SPOT_SHORT,
    IN_POSITION,
    EXTENDED,
    LIQUIDITY_UNKNOWN,
    CAPACITY_ZERO,
    GROSS_CAP,
    NO_CASH,
    GROUP_REJECTED,
    UNFILLED,
    TOO_SMALL,
    LEVERAGE,
    BANKRUPT,
) = range(len(VERDICTS))
PENDING = len(VERDICTS)
"""Verdict of an intent that is queued: never left when a replay ends."""

CUTS = (
    Term("", "it got what it wanted"),
    Term("CAPACITY", "cut to its share of the volume"),
    Term("GROSS_CAP", "cut to the gross cap"),
    Term("CASH", "cut to the free cash"),
)
"""What made an entry smaller than it was wanted."""
UNCUT, CUT_CAPACITY, CUT_GROSS, CUT_CASH = range(len(CUTS))

PHASES = (Term("open", "at the open"), Term("inside", "inside the bar"), Term("close", "at the close"))
"""Where in a bar a fill happened."""
AT_OPEN, INSIDE, AT_CLOSE = range(len(PHASES))

AT_MARKET, MAKER_AT_OPEN, MAKER_INSIDE, TAKER_INSIDE = range(4)
"""How an entry fills: at the open; at its limit, passed by an open or inside the bar; at its stop inside the bar."""


class Cost(NamedTuple):
    """Marks a field of `CostBreakdown` as a cost; `added` where it came after 0.1."""

    words: str
    added: bool = False


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """Where the difference between gross and net went, quote currency: gross - net is the sum of the costs.

    `gross` is profit at reference prices (opens and levels). A field declared as a `cost` is a column of fills, trades
    and documents, a score (its drag on the capital) with a tolerance, and a step of the waterfall.
    """

    gross: float
    fees: Annotated[float, Cost("fees paid")]
    slippage: Annotated[float, Cost("half-spreads paid")]
    impact: Annotated[float, Cost("market impact paid")]
    funding: Annotated[float, Cost("funding paid; negative was received")]
    liquidation: Annotated[float, Cost("liquidation costs; negative is loss beyond the margin, not borne")]
    net: float


COSTS = tuple(
    name for name, of in get_type_hints(CostBreakdown, include_extras=True).items() if hasattr(of, "__metadata__")
)
"""Names of the costs, each a column of the trades; those paid at a fill are columns of the fills too."""
ADDED_COSTS = frozenset(
    name
    for name, of in get_type_hints(CostBreakdown, include_extras=True).items()
    if any(isinstance(one, Cost) and one.added for one in getattr(of, "__metadata__", ()))
)
"""Names of the costs that came after 0.1, which documents and baselines of that release do not hold."""

FUNDING_ERROR, FUNDING_ZERO, FUNDING_CONST = range(3)
STOP_ORDERS = ("pessimistic", "optimistic", "adverse_first")
PESSIMISTIC, OPTIMISTIC, ADVERSE_FIRST = range(len(STOP_ORDERS))
NET_RETURN, SHARPE, SORTINO, MAX_DRAWDOWN, TRADES, HIT_RATE, MEAN_TRADE, EXPOSURE = range(8)
STATISTICS = ("net_return", "sharpe", "sortino", "max_drawdown", "trades", "hit_rate", "mean_trade", "exposure")

MOST_SLIP = 0.9
"""Largest half-spread plus impact, as a share of price: a sale never fills at or below zero."""
LEAST_SHARE = 1e-6
"""An entry scaled below this share of what was wanted, or equity below this share of capital, is rejected instead."""
SAME_PRICE = 1e-9
"""Share of a price by which finer bars may miss the high and the low of the bar that they make up."""
SAME_LEVEL = 1e-12
"""Share of a peak by which one that just survives stays below the one whose trailing stop is met."""
SAME_STEP = 1e-9
"""Share of a tick or lot by which rounding may miss the grid."""
LEAST_RATIO = 1e-12
"""Variance as a share of the mean square, or deviation of returns, below which it is rounding and a ratio is NaN."""


class Position:
    """State of one open position, a record of `POSITION`; levels and peak are signed prices (price times side)."""

    column: int  # instrument; -1 once it has left
    intent: int
    group: int  # -1 where it stands alone
    entry_row: int
    time_row: int  # its time limit
    late_row: int  # from this row on its target is `late_target`
    signal_row: int  # its decided exit
    end_row: int  # last bar in which its instrument trades
    due: int  # reason for which it leaves in this bar, 0 for none
    unknown_funding_bars: int
    settlement: int  # place of its next settlement in `Extremes`, -1 while it is not looked for
    leaving: int  # reason for which it leaves at its next open: the rest of an exit, or a leg that could not; else 0
    follows: bool  # a level follows its peak: `trail` or a second stage
    staged: bool  # there is a second stage of the trail, or a break-even stop
    resting: bool  # its target is a limit order that rests
    marked: bool  # the mark price triggers its liquidation or its stop
    entered: int  # AT_MARKET, or how it entered inside the bar `entry_row`
    side: float
    quantity: float  # what is held
    whole: float  # what was entered
    price: float  # fill of the entry
    reference: float  # price before spread and impact
    margin: float
    stop: float  # -inf for none
    target: float  # inf for none
    late_target: float  # its target from `late_row` on, where it has one
    trail: float  # share of the peak, inf for none
    activation: float  # peak from which it trails, -inf for at once
    second_trail: float  # share of the peak in the second stage, inf for none
    second_activation: float  # peak from which the second stage trails, inf for none
    break_even: float  # peak from which the stop lies at the fill, inf for none
    filled: float  # signed price of the fill
    peak: float
    liquidation: float  # level, -inf for spot
    mark_stop: float  # of a marked one: the stop and the liquidation that the mark price triggers, -inf for none
    mark_liquidation: float
    floor: float  # at or below this price it may leave
    ceiling: float  # at or above this price it may leave
    coefficient: float  # of impact, at the entry
    parts: float  # root of the whole order over this part of it: what its impact is multiplied by
    fees: float  # paid so far, as the next three
    slippage: float
    impact: float
    funding: float
    gained: float  # of what has left: its profit at the prices of its fills, and its liquidation costs
    lost: float


class Positions(Protocol):
    """(P,) array of `POSITION`, as the kernel reads it: an item is a view, not a copy."""

    def __getitem__(self, place: int) -> Position:
        """State of one position."""

    def __setitem__(self, place: int, value: Position) -> None:
        """Copy one position over another."""


_TYPES: dict[Any, type[np.generic]] = {int: np.int64, bool: np.bool_, float: np.float64}
_FIELDS = np.dtype([(name, _TYPES[of]) for name, of in get_type_hints(Position).items()], align=True)
# np.record: without compilation too a field of an item is read by its name
POSITION = np.dtype((np.record, _FIELDS))


class Fill(NamedTuple):
    """One fill as the book keeps it; money in quote currency."""

    row: float
    phase: float
    column: float
    intent: float
    reason: float
    side: float
    quantity: float
    reference: float  # price before spread and impact
    price: float
    fees: float
    slippage: float
    impact: float
    liquidation: float
    cut: float
    granted: float  # share of what was wanted; 1 for an exit


class Trade(NamedTuple):
    """One closed position as the book keeps it; money in quote currency."""

    intent: float
    column: float
    side: float
    entry_row: float
    exit_row: float
    quantity: float
    entry_price: float
    exit_price: float
    gross: float
    fees: float
    slippage: float
    impact: float
    funding: float
    liquidation: float
    net: float
    reason: float
    unknown_funding_bars: float
    exit_phase: float
    entry_notional: float


FILL_COLUMNS, TRADE_COLUMNS = Fill._fields, Trade._fields
FILL_COSTS = tuple(name for name in COSTS if name in FILL_COLUMNS)


class Bars(NamedTuple):
    """Market arrays as the kernel reads them: one bar of one instrument is one cache line.

    panel (N, T, 8): open, high, low, close (NaN where not tradable), mark (last known close), funding rate (NaN
    unknown, 0 for spot), impact coefficient and capacity in notional, both as known at the bar's open.
    next_tradable (N, T + 1): first tradable row at or after each row, T where none. swap (N,). last_row (N,): last
    tradable row, -1 where none; ended (N,): whether it lies a day or more before the end of the data. young (N, T):
    whether liquidity at the open is estimated from less than a day of bars.
    tick, lot, least_notional (N,): steps of price and quantity and the least order, 0 for none.
    tier_rows (V,): row from which each version of the tiers is in force, the first 0. tiers (V, N, K, 2): maintenance
    rate and deduction of each tier of notional, repeated to K, NaN where an instrument has none. most_leverage
    (V, N, L, 2): notional from which a leverage is the most, and that leverage; inf from the last to L. K and L are 0
    where no instrument has any.
    mark (N, T, 3): low, high and close of the mark price, of the last price where a bar of it is unknown; (N, 0, 3)
    where it triggers nothing. marked (N,): whether it triggers anything of an instrument.
    detail (D, S, 4): finer open, high, low, close; detail_column (N,): its first axis, -1 where none;
    detail_first: detail row of bar 0; detail_ratio: detail bars in a bar.
    """

    panel: F8
    next_tradable: I4
    swap: npt.NDArray[np.bool_]
    last_row: I4
    ended: npt.NDArray[np.bool_]
    young: npt.NDArray[np.bool_]
    tick: F8
    lot: F8
    least_notional: F8
    tier_rows: I4
    tiers: F8
    most_leverage: F8
    mark: F8
    marked: npt.NDArray[np.bool_]
    detail: F8
    detail_column: I4
    detail_first: int
    detail_ratio: int


class Bar(NamedTuple):
    """One bar of one instrument: a row of `Bars.panel`."""

    open: float
    high: float
    low: float
    close: float
    mark: float
    funding: float
    impact: float
    capacity: float


class Rules(NamedTuple):
    """Scalars of a RunConfig; `funding_const` is the rate of one bar, `funding_unknown` a FUNDING_* code.

    `stop_order` is one of STOP_ORDERS. `settles_inside`: whether funding is settled inside bars, not only at their
    closes. `adds`: an intent on the side of a position opens another beside it. `maker_targets`: targets rest as
    limits. `partial_exits`: exits take no more of a bar than its capacity. `liquidates_on_mark`, `stops_on_mark`: what
    the mark price triggers where it is known. `cross`: one account backs all contracts. `plain`: set by the kernel
    (`backtest.engine.kernel.is_plain`).
    """

    capital: float
    fee_rate: float
    maker_fee_rate: float
    half_spread: float
    leverage: float
    gross_cap: float
    maintenance_margin: float
    liquidation_fee: float
    funding_unknown: int
    funding_const: float
    settles_inside: bool
    extend: bool
    adds: bool
    maker_targets: bool
    partial_exits: bool
    liquidates_on_mark: bool
    stops_on_mark: bool
    cross: bool
    stop_order: int
    bars_per_year: float
    plain: bool = False


class Book(NamedTuple):
    """What a recorded replay writes.

    equity (T,) at each close; funding (T,) paid at each close, zeros on entry; fills and trades in rows of their
    columns; verdict (K,) of each intent; counts: fills and trades, zeros on entry (fills past the last row are only
    counted); entered (K,) of POSITION: each position as it was opened.
    """

    equity: F8
    funding: F8
    fills: F8
    trades: F8
    verdict: I1
    counts: I4
    entered: Positions


class Work(NamedTuple):
    """Scratch of one worker, reused by each of its replays.

    fill_row, exit_row, queue, buffer, verdict (K,); by instrument (N,) slot: positions held, taken: what exits took of
    bar taken_row's capacity; state (P,) of POSITION; wanted (K,); entry (K,): how each fills, level (K,): its price.
    """

    fill_row: I4
    exit_row: I4
    queue: I4
    buffer: I4
    verdict: I1
    slot: I4
    taken: F8
    taken_row: I4
    state: Positions
    wanted: F8
    entry: I1
    level: F8
    tally: F8


T_CASH, T_TRADES, T_WINS, T_TRADE_SUM, T_FAULT_ROW, T_FAULT_COLUMN = range(6)
TALLY_WIDTH = 6
