"""The arrays that pass between replay and kernel: their columns, codes and shapes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I1 = npt.NDArray[np.int8]

NEVER = 2**30
"""Row or count of bars that is never reached."""

OPEN, HIGH, LOW, CLOSE, MARK, FUNDING, IMPACT, CAPACITY = range(8)
ENTRY, LIQUIDATION, STOP_LOSS, TRAILING_STOP, TAKE_PROFIT, SIGNAL, TIME, GROUP_EXIT, END_OF_DATA = range(9)
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
    PENDING,
) = range(12)
UNCUT, CUT_CAPACITY, CUT_GROSS, CUT_CASH = range(4)
AT_OPEN, INSIDE, AT_CLOSE = range(3)
FUNDING_ERROR, FUNDING_ZERO, FUNDING_CONST = range(3)
NET_RETURN, SHARPE, SORTINO, MAX_DRAWDOWN, TRADES, HIT_RATE, MEAN_TRADE, EXPOSURE = range(8)
STATISTICS = (
    "net_return",
    "sharpe",
    "sortino",
    "max_drawdown",
    "trades",
    "hit_rate",
    "mean_trade",
    "exposure",
)

FILL_COLUMNS = ("row", "phase", "column", "intent", "reason", "side", "quantity", "reference", "price", "fee",
                "half_spread", "impact", "liquidation", "cut")  # fmt: skip
TRADE_COLUMNS = ("intent", "column", "side", "entry_row", "exit_row", "quantity", "entry_price", "exit_price", "gross",
                 "fees", "half_spread", "impact", "funding", "liquidation", "net", "reason", "ambiguous", "other_net",
                 "unknown_funding_bars", "exit_phase", "entry_notional")  # fmt: skip

MOST_SLIP = 0.9
"""Largest half-spread plus impact, as a share of price: a sale never fills at or below zero."""
LEAST_SHARE = 1e-6
"""An entry scaled below this share of what was wanted, or equity below this share of capital, is rejected instead."""
LEAST_RATIO = 1e-12
"""Variance as a share of the mean square, or deviation of returns, below which it is rounding and a ratio is NaN."""

# State of one open position, one float each; levels and peak are signed prices (price times side).
(
    P_COLUMN, P_SIDE, P_QUANTITY, P_PRICE, P_REFERENCE, P_MARGIN, P_STOP, P_TARGET, P_TRAIL, P_PEAK, P_LIQUIDATION,
    P_TIME_ROW, P_SIGNAL_ROW, P_INTENT, P_ENTRY_ROW, P_COEFFICIENT, P_GROUP, P_FUNDING_PAID, P_FEES, P_HALF_SPREAD,
    P_IMPACT, P_PENDING, P_AMBIGUOUS, P_OTHER_NET, P_UNKNOWN, P_DUE, P_FLOOR, P_CEILING,
) = range(28)  # fmt: skip
POSITION_WIDTH = 28


class Bars(NamedTuple):
    """Market arrays as the kernel reads them: one bar of one instrument is one cache line.

    panel (N, T, 8): open, high, low, close (NaN where not tradable), mark (last known close), funding rate (NaN
    unknown, 0 for spot), impact coefficient and capacity in notional, both as known at the bar's open.
    next_tradable (N, T + 1): first tradable row at or after each row, T where none. swap (N,).
    detail (D, S, 4): finer open, high, low, close; detail_column (N,): its first axis, -1 where none;
    detail_first: detail row of bar 0; detail_ratio: detail bars in a bar.
    """

    panel: F8
    next_tradable: I4
    swap: npt.NDArray[np.bool_]
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


class Orders(NamedTuple):
    """V variations of K intents in rows and bars, each (V, K) or (1, K); absent levels are NaN, rows NEVER.

    `shift` (V,) moves every intent of a replay by so many bars around the circle of T bars.
    """

    earliest: I4
    latest: I4
    exit_row: I4
    hold: I4
    column: I4
    side: F8
    weight: F8
    stop_loss: F8
    take_profit: F8
    trailing_stop: F8
    group: I4
    shift: I4


class Rules(NamedTuple):
    """Scalars of a RunConfig; `funding_const` is the rate of one bar, `funding_unknown` a FUNDING_* code."""

    capital: float
    fee: float
    half_spread: float
    leverage: float
    gross_cap: float
    maintenance: float
    liquidation_fee: float
    funding_unknown: int
    funding_const: float
    extend: bool
    favourable_first: bool
    bars_per_year: float


class Book(NamedTuple):
    """What a recorded replay writes.

    equity (T,) at each close; funding (T,) paid at each close, zeros on entry; fills and trades in rows of their
    columns; verdict (K,) of each intent; counts: fills and trades written, zeros on entry.
    """

    equity: F8
    funding: F8
    fills: F8
    trades: F8
    verdict: I1
    counts: I4


class Intent(NamedTuple):
    """One variation of the K intents: the rows of `Orders` at one index, with its shift."""

    earliest: I4
    latest: I4
    exit_row: I4
    hold: I4
    column: I4
    side: F8
    weight: F8
    stop_loss: F8
    take_profit: F8
    trailing_stop: F8
    group: I4
    shift: int


class Work(NamedTuple):
    """Scratch of one worker, reused by each of its replays.

    fill_row, exit_row, queue, buffer, verdict (K,); slot (N,): position held in an instrument, -1 where none;
    state (P, POSITION_WIDTH); wanted (K,); tally (TALLY_WIDTH,).
    """

    fill_row: I4
    exit_row: I4
    queue: I4
    buffer: I4
    verdict: I1
    slot: I4
    state: F8
    wanted: F8
    tally: F8


T_CASH, T_TRADES, T_WINS, T_TRADE_SUM, T_FAULT_ROW, T_FAULT_COLUMN = range(6)
TALLY_WIDTH = 6
