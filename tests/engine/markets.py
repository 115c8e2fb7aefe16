"""Random and hand-made `Bars`, `Orders` and `Rules` for the engine's tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from hypothesis import strategies as st

from backtest.engine import layout as codes
from backtest.engine.kernel import replay_one
from backtest.engine.layout import F8, I1, NEVER, Bars, Book, Rules
from backtest.engine.variations import Orders

NAN = float("nan")


def bars_of(
    prices: F8,
    *,
    traded: np.ndarray | None = None,
    swap: np.ndarray | None = None,
    funding: F8 | float = 0.0,
    impact: F8 | float = 0.0,
    capacity: F8 | float = np.inf,
    detail: F8 | None = None,
    detail_ratio: int = 1,
    detail_first: int = 0,
    ended: np.ndarray | None = None,
    tick: F8 | None = None,
    lot: F8 | None = None,
    least_notional: F8 | None = None,
    tiers: F8 | None = None,
    tier_rows: tuple[int, ...] = (0,),
    most_leverage: F8 | None = None,
    mark_bars: F8 | None = None,
) -> Bars:
    """Bars of prices (N, T, 4), NaN where there is no bar; `traded` (N, T) is false where the volume is zero.

    `tiers` (V, N, K, 2) and `most_leverage` (V, N, L, 2) are in force from each of V `tier_rows` on.

    `mark_bars` (N, T, 3): low, high and close of the mark price of every instrument.
    """
    instruments, rows = prices.shape[:2]
    present = ~np.isnan(prices[:, :, 0])
    tradable = present if traded is None else present & traded
    panel = np.full((instruments, rows, codes.PANEL_WIDTH), np.nan)
    panel[:, :, :4] = np.where(tradable[:, :, None], prices, np.nan)
    next_tradable = np.full((instruments, rows + 1), rows, dtype=np.int32)
    for column in range(instruments):
        mark = np.nan
        for row in range(rows):
            mark = prices[column, row, 3] if present[column, row] else mark
            panel[column, row, codes.MARK] = mark
        for row in range(rows - 1, -1, -1):
            next_tradable[column, row] = row if tradable[column, row] else next_tradable[column, row + 1]
    kinds = np.ones(instruments, dtype=np.bool_) if swap is None else swap
    panel[:, :, codes.FUNDING] = np.where(kinds[:, None], funding, 0.0)
    panel[:, :, codes.IMPACT] = impact
    panel[:, :, codes.CAPACITY] = capacity
    return Bars(
        panel=panel,
        next_tradable=next_tradable,
        swap=kinds,
        last_row=np.array([max(np.flatnonzero(row), default=-1) for row in tradable], dtype=np.int32),
        ended=np.zeros(instruments, dtype=np.bool_) if ended is None else ended,
        young=np.zeros((instruments, rows), dtype=np.bool_),
        tick=np.zeros(instruments) if tick is None else tick,
        lot=np.zeros(instruments) if lot is None else lot,
        least_notional=np.zeros(instruments) if least_notional is None else least_notional,
        tier_rows=np.array(tier_rows, dtype=np.int32),
        tiers=np.zeros((len(tier_rows), instruments, 0, 2)) if tiers is None else tiers,
        most_leverage=np.zeros((len(tier_rows), instruments, 0, 2)) if most_leverage is None else most_leverage,
        mark=np.empty((instruments, 0, 3)) if mark_bars is None else np.ascontiguousarray(mark_bars),
        marked=np.full(instruments, mark_bars is not None),
        detail=np.empty((0, 0, 4)) if detail is None else np.ascontiguousarray(detail),
        detail_column=(
            np.full(instruments, -1, dtype=np.int32) if detail is None else np.arange(instruments, dtype=np.int32)
        ),
        detail_first=detail_first,
        detail_ratio=detail_ratio,
    )


INTENT: dict[str, Any] = {
    "earliest": 0,
    "latest": NEVER,
    "exit_row": NEVER,
    "hold": NEVER,
    "column": 0,
    "side": 1.0,
    "weight": 1.0,
    "stop_loss": NAN,
    "take_profit": NAN,
    "trailing_stop": NAN,
    "activation": NAN,
    "second_trailing_stop": NAN,
    "second_activation": NAN,
    "break_even": NAN,
    "late_take_profit": NAN,
    "late": NEVER,
    "notional": NAN,
    "limit": NAN,
    "stop_entry": NAN,
    "group": -1,
}
"""A long of everything in the first instrument from the first bar on, without exits."""

FLOATS = (
    "side", "weight", "stop_loss", "take_profit", "trailing_stop", "activation", "second_trailing_stop",
    "second_activation", "break_even", "late_take_profit", "notional", "limit", "stop_entry",
)  # fmt: skip


def orders_of(*variations: list[dict[str, Any]], shift: list[int] | None = None) -> Orders:
    """Orders of one list of intents a variation; what an intent does not name is as in `INTENT`."""
    columns = {}
    for name in INTENT:
        rows = [[{**INTENT, **intent}[name] for intent in variation] for variation in variations]
        columns[name] = np.array(rows, dtype=np.float64 if name in FLOATS else np.int32)
    return Orders(**columns, shift=np.array(shift or [0] * len(variations), dtype=np.int32))


RULES = Rules(
    capital=1000.0,
    fee_rate=0.0,
    maker_fee_rate=0.0,
    half_spread=0.0,
    leverage=1.0,
    gross_cap=1.0,
    maintenance_margin=0.0,
    liquidation_fee=0.0,
    funding_unknown=codes.FUNDING_ERROR,
    funding_const=0.0,
    settles_inside=False,
    extend=False,
    adds=False,
    maker_targets=False,
    partial_exits=False,
    liquidates_on_mark=True,
    stops_on_mark=False,
    cross=False,
    stop_order=codes.PESSIMISTIC,
    bars_per_year=8760.0,
)
"""No costs at all."""


def book_of(bars: Bars, intents: int) -> Book:
    rows = bars.panel.shape[1]
    return Book(
        equity=np.full(rows, np.nan),
        funding=np.zeros(rows),
        fills=np.full((intents * (rows + 2), len(codes.FILL_COLUMNS)), np.nan),
        trades=np.full((intents, len(codes.TRADE_COLUMNS)), np.nan),
        verdict=np.full(intents, codes.PENDING, dtype=np.int8),
        counts=np.zeros(8, dtype=np.int32),
        entered=cast(codes.Positions, np.zeros(intents, codes.POSITION)),
    )


@dataclass(frozen=True)
class Recorded:
    """What the kernel wrote for one replay, cut to what is there; `fault` is row and column, or None."""

    statistics: F8
    fault: tuple[int, int] | None
    equity: F8
    funding: F8
    fills: F8
    trades: F8
    verdict: I1

    def fill(self, name: str) -> F8:
        return self.fills[:, codes.FILL_COLUMNS.index(name)]

    def trade(self, name: str) -> F8:
        return self.trades[:, codes.TRADE_COLUMNS.index(name)]


def recorded(orders: Orders, bars: Bars, rules: Rules) -> Recorded:
    """Variation 0 replayed by the kernel."""
    book = book_of(bars, orders.column.shape[1])
    result = replay_one(orders, bars, rules, book)
    assert result.shape == (len(codes.STATISTICS) + 2,)
    return Recorded(
        statistics=result[:-2],
        fault=None if result[-2] < 0 else (int(result[-2]), int(result[-1])),
        equity=book.equity,
        funding=book.funding,
        fills=book.fills[: book.counts[0]],
        trades=book.trades[: book.counts[1]],
        verdict=book.verdict,
    )


def variation_of(orders: Orders, number: int) -> Orders:
    """One variation alone."""
    return Orders(*(array[number : number + 1] for array in orders))


@dataclass(frozen=True)
class Scenario:
    """One random case: everything a replay needs."""

    bars: Bars
    orders: Orders
    rules: Rules


def random_prices(
    random: np.random.Generator, instruments: int, rows: int, ratio: int, volatility: float
) -> tuple[F8, F8]:
    """Bars (N, T, 4) and the finer bars (N, T * ratio, 4) they are made of; without holes."""
    fine_rows = rows * ratio
    steps = random.normal(0.0, volatility, (instruments, fine_rows, 2)) * (
        random.random((instruments, fine_rows, 2)) < 0.8
    )
    path = 100.0 * np.exp(np.clip(np.cumsum(steps.reshape(instruments, -1), axis=1), -6.0, 6.0))
    path = path.reshape(instruments, fine_rows, 2)
    wicks = random.exponential(volatility, (instruments, fine_rows, 2))
    wide = random.random((instruments, fine_rows, 2)) < 0.01
    wicks = np.minimum(np.where(wide, 0.7 * random.random(wicks.shape), wicks), 0.7)
    high = path.max(axis=2) * (1 + wicks[:, :, 0])
    low = path.min(axis=2) * (1 - wicks[:, :, 1])
    fine = np.stack([path[:, :, 0], high, low, path[:, :, 1]], axis=2)
    blocks = fine.reshape(instruments, rows, ratio, 4)
    coarse = np.stack(
        [blocks[:, :, 0, 0], blocks[:, :, :, 1].max(axis=2), blocks[:, :, :, 2].min(axis=2), blocks[:, :, -1, 3]],
        axis=2,
    )
    return coarse, fine


def holes(random: np.random.Generator, instruments: int, rows: int) -> np.ndarray:
    """Mask (N, T) of missing bars: late listings, early delistings, runs in the middle."""
    missing = np.zeros((instruments, rows), dtype=np.bool_)
    for column in range(instruments):
        if random.random() < 0.3:
            missing[column, : random.integers(0, rows)] = True
        if random.random() < 0.3:
            missing[column, rows - random.integers(0, rows // 2 + 1) :] = True
        for _ in range(random.integers(0, 3)):
            start = random.integers(0, rows)
            missing[column, start : start + random.integers(1, 6)] = True
    return missing


def some(random: np.random.Generator, shape: tuple[int, ...], share: float, values: F8, otherwise: float) -> F8:
    return np.where(random.random(shape) < share, values, otherwise)


def random_bars(
    random: np.random.Generator,
    instruments: int,
    rows: int,
    *,
    gaps: bool,
    detailed: bool,
    frictions: bool,
    unknown: bool,
    spot: bool,
    capital: float,
    volatility: float,
    stepped: bool = False,
) -> Bars:
    ratio = int(random.integers(1, 5)) if detailed else 1
    prices, fine = random_prices(random, instruments, rows, ratio, volatility)
    shape = (instruments, rows)
    traded = np.ones(shape, dtype=np.bool_)
    if gaps:
        prices[holes(random, instruments, rows)] = np.nan
        traded = random.random(shape) > random.choice([0.05, 0.3])
    funding, impact, capacity = np.zeros(shape), np.zeros(shape), np.full(shape, np.inf)
    if frictions:
        funding = some(random, shape, 0.5, random.normal(0.0, 0.01, shape), 0.0)
        impact = some(random, shape, 0.8, 10.0 ** random.uniform(-5.0, 0.2, shape) / np.sqrt(capital), 0.0)
        capacity = some(random, shape, 0.5, capital * 10.0 ** random.uniform(-3.0, 1.0, shape), np.inf)
        capacity = some(random, shape, 0.97, capacity, 0.0)
    if unknown:
        funding = some(random, shape, 0.7, funding, np.nan)
        impact = some(random, shape, 0.9, impact, np.nan)
        capacity = some(random, shape, 0.95, capacity, np.nan)
    first = 0
    if detailed:
        cut = int(random.integers(0, rows)) if random.random() < 0.3 else 0
        if random.random() < 0.5:
            fine, first = fine[:, cut:], -cut
        else:
            fine, first = np.concatenate([fine[:, :cut], fine], axis=1), cut
        if random.random() < 0.3:
            fine = fine * random.normal(1.0, 0.02, (*fine.shape[:2], 1))
        if gaps:
            fine[random.random(fine.shape[:2]) < 0.05] = np.nan
    bars = bars_of(
        prices,
        traded=traded,
        swap=random.random(instruments) < 0.6 if spot else None,
        funding=funding,
        impact=impact,
        capacity=capacity,
        detail=fine if detailed else None,
        detail_ratio=ratio,
        detail_first=first,
        ended=random.random(instruments) < 0.5,
    )
    if stepped:
        tiers = np.array([[0.004, 0.0], [0.02, 0.016 * 0.1 * capital], [0.1, (0.016 * 0.1 + 0.08 * 0.4) * capital]])
        untiered = np.full((3, 2), np.nan)
        starts = np.unique(np.append(0, random.integers(0, rows, random.integers(0, 3))))
        versions = [
            [tiers * random.choice([1.0, 0.5, 3.0]) if random.random() < 0.7 else untiered for _ in range(instruments)]
            for _ in starts
        ]
        most = np.array([[0.0, 60.0], [0.2 * capital, random.choice([20.0, 3.0])], [2.0 * capital, 2.0]])
        unknown = np.full((3, 2), np.inf)
        leverages = [[most if random.random() < 0.3 else unknown for _ in range(instruments)] for _ in starts]
        bars = bars._replace(
            tick=random.choice([0.0, 0.01, 0.7], instruments),
            lot=random.choice([0.0, 1e-4, 0.3], instruments) * capital / 1000.0,
            least_notional=random.choice([0.0, 0.05], instruments) * capital,
            tier_rows=starts.astype(np.int32),
            tiers=np.array(versions),
            most_leverage=np.array(leverages),
        )
    if detailed and random.random() < 0.3:
        bars.detail_column[random.integers(0, instruments)] = -1
    return bars


def with_mark_bars(random: np.random.Generator, bars: Bars, volatility: float) -> Bars:
    """The same with a mark price of some swaps, which strays from the last price; some bars of it are unknown."""
    instruments, rows = bars.panel.shape[:2]
    last = bars.panel[:, :, [codes.LOW, codes.HIGH, codes.CLOSE]]
    mark = last * (1.0 + random.normal(0.0, volatility, (instruments, rows, 1)))
    mark[random.random((instruments, rows)) < 0.1] = np.nan
    mark = np.where(np.isnan(mark), last, mark)
    marked = bars.swap & (random.random(instruments) < 0.8)
    return bars._replace(
        mark=np.ascontiguousarray(mark) if marked.any() else np.empty((instruments, 0, 3)), marked=marked
    )


def random_intents(
    random: np.random.Generator,
    swap: np.ndarray,
    rows: int,
    intents: int,
    *,
    grouped: bool,
    stops: float,
    capital: float,
) -> list[dict[str, Any]]:
    """Intents of one variation; `stops` scales their levels, a group's legs stand together."""
    made: list[dict[str, Any]] = []
    instruments = len(swap)

    def level(likely: float) -> float:
        return float(stops * np.exp(random.uniform(-2.0, 5.0))) if random.random() < likely else NAN

    def exits() -> dict[str, Any]:
        late = random.random() < 0.2
        return {
            "stop_loss": min(level(0.4), 0.95),
            "take_profit": level(0.4),
            # Not the most that a stop may be: a tie of the two would be broken by rounding.
            "trailing_stop": min(level(0.3), 0.94),
            "activation": min(level(0.3), 0.94),
            "late_take_profit": float(np.clip(stops * random.normal(1.0, 3.0), -0.9, 0.9)) if late else NAN,
            "late": int(random.integers(1, 8)) if late else NEVER,
        }

    group = 0
    while len(made) < intents:
        legs = min(int(random.integers(2, 4)), intents - len(made)) if grouped and random.random() < 0.5 else 1
        earliest = int(random.integers(rows + 1)) if random.random() < 0.5 else int(random.integers(rows // 2))
        latest = earliest + int(random.choice([0, 5, 5, NEVER // 2]))
        columns = random.permutation(instruments)
        for leg in range(legs):
            column = int(columns[leg % instruments]) if random.random() < 0.95 else int(random.integers(instruments))
            entry = random.random() if legs == 1 else 1.0
            distance = float(stops * random.normal(1.0, 2.0))
            second = min(level(0.15), 0.9)
            made.append(
                {
                    "earliest": earliest + int(random.random() < 0.05),
                    "latest": latest + int(random.random() < 0.05),
                    "exit_row": earliest + int(random.integers(0, 30)) if random.random() < 0.3 else NEVER,
                    "hold": int(random.integers(1, 20)) if random.random() < 0.5 else NEVER,
                    "column": column,
                    "side": -1.0 if random.random() < (0.5 if swap[column] else 0.1) else 1.0,
                    "weight": float(random.uniform(0.02, 1.5)),
                    **exits(),
                    "second_trailing_stop": second,
                    "second_activation": NAN if second != second else min(level(1.0), 0.9),
                    "break_even": min(level(0.2), 0.9),
                    "notional": 0.3 * capital if random.random() < 0.1 else NAN,
                    "limit": np.clip(distance, -0.9, 0.9) if entry < 0.2 else NAN,
                    "stop_entry": np.clip(distance, -0.9, 0.9) if 0.2 <= entry < 0.4 else NAN,
                    "group": group if legs > 1 else -1,
                }
            )
            if legs == 1 and random.random() < 0.15 and len(made) < intents:
                # Two parts of one order, with exits of their own.
                made[-1]["group"] = -2 - len(made)
                made.append({**made[-1], **exits(), "weight": float(random.uniform(0.02, 1.5))})
        group += legs > 1
    return made


@st.composite
def scenarios(
    draw: st.DrawFn,
    variations: int = 1,
    torn_groups: bool = False,
    marked: bool = False,
    partial: bool = False,
    cross: bool = False,
) -> Scenario:
    """Random markets, orders and rules; hypothesis chooses the features, a drawn seed the numbers.

    `torn_groups` asks for what is rare otherwise: groups, mild moves, and bars that some of their legs lack. `partial`
    fills exits in parts, of bars that are too thin for most of them. With `cross` one account backs contracts alone.
    """
    flag = st.booleans()
    groups = torn_groups or draw(flag)
    instruments, rows = draw(st.integers(1 + groups, 4)), draw(st.integers(5, 60))
    intents = draw(st.integers(1 + groups, 12))
    capital = draw(st.sampled_from([1_000.0, 100_000.0]))
    volatility = 0.01 if torn_groups else draw(st.sampled_from([0.01, 0.1, 0.3] if cross else [0.003, 0.01, 0.02, 0.1]))
    gaps, detailed, frictions, unknown, spot, shifted, costs = (draw(flag) for _ in range(7))
    leverage = 1.0 if torn_groups else draw(st.sampled_from([1.0, 2.0, 3.0, 5.0, 20.0, 60.0]))
    policy = draw(st.sampled_from([codes.FUNDING_ERROR, codes.FUNDING_ZERO, codes.FUNDING_CONST]))
    extend, settles_inside, adds, maker_targets, stepped = (draw(flag) for _ in range(5))
    stop_order = draw(st.sampled_from(range(len(codes.STOP_ORDERS))))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bars = random_bars(
        random,
        instruments,
        rows,
        gaps=gaps or torn_groups,
        detailed=detailed,
        frictions=frictions,
        unknown=unknown,
        spot=spot and not cross,
        capital=capital,
        volatility=volatility,
        stepped=stepped,
    )
    if marked:
        bars = with_mark_bars(random, bars, volatility)
    if partial:
        thin = bars.panel[:, :, codes.CAPACITY]
        thin[:] = np.where(thin > 0.0, np.minimum(thin, capital * 10.0 ** random.uniform(-2.0, 0.5, thin.shape)), thin)
        thin[:, ::3] = np.where(thin[:, ::3] > 0.0, np.inf, thin[:, ::3])
    shifts = [int(random.integers(0, rows)) if shifted else 0 for _ in range(variations)]
    orders = orders_of(
        *[
            random_intents(random, bars.swap, rows, intents, grouped=groups, stops=volatility, capital=capital)
            for _ in range(variations)
        ],
        shift=shifts,
    )
    if cross:
        # Enough to use up the account.
        orders.weight[:] *= random.choice([1.0, leverage])
    if not shifted:
        orders.earliest[:, -1] += draw(st.sampled_from([0, 0, rows]))
    rules = Rules(
        capital=capital,
        fee_rate=float(random.uniform(0.0, 0.01)) if costs else 0.0,
        maker_fee_rate=float(random.uniform(-0.002, 0.005)) if costs else 0.0,
        half_spread=float(random.choice([0.0005, 0.02])) * float(random.random()) if costs else 0.0,
        leverage=leverage,
        gross_cap=float(random.uniform(0.5, 1.5)) * float(random.choice([1.0, leverage])),
        maintenance_margin=float(random.uniform(0.0, 0.06 if random.random() < 0.2 else min(0.06, 0.7 / leverage))),
        liquidation_fee=float(random.uniform(0.0, 0.03)) if costs else 0.0,
        funding_unknown=policy,
        funding_const=float(random.uniform(0.0, 0.005)),
        settles_inside=settles_inside,
        extend=extend,
        adds=adds and not extend,
        maker_targets=maker_targets,
        partial_exits=partial,
        liquidates_on_mark=not marked or bool(random.random() < 0.8),
        stops_on_mark=marked and bool(random.random() < 0.5),
        cross=cross,
        stop_order=codes.PESSIMISTIC if cross else stop_order,
        bars_per_year=float(random.choice([365.0, 8760.0])),
    )
    return Scenario(bars, orders, rules)


any_scenario = st.one_of(scenarios(), scenarios(torn_groups=True))
in_parts = st.one_of(*(scenarios(partial=True, **more) for more in ({}, {"marked": True}, {"torn_groups": True})))


crossed = st.one_of(*(scenarios(cross=True, **more) for more in ({}, {"marked": True}, {"torn_groups": True})))


def plainly(scenario: Scenario) -> Scenario:
    """The same scenario without what is rare, so that a batch of it is replayed by the code for plain ones."""
    none = np.empty((1, 0))
    optional = (
        "activation", "second_trailing_stop", "second_activation", "break_even", "late_take_profit", "limit",
        "stop_entry",
    )  # fmt: skip
    orders = scenario.orders._replace(**dict.fromkeys(optional, none), late=np.empty((1, 0), np.int32))
    settings = ("settles_inside", "extend", "adds", "maker_targets", "partial_exits", "cross")
    return Scenario(
        scenario.bars._replace(
            marked=np.zeros_like(scenario.bars.marked),
            detail_column=np.full_like(scenario.bars.detail_column, -1),
            tier_rows=scenario.bars.tier_rows[:1],
            tiers=scenario.bars.tiers[:1, :, :0],
            most_leverage=scenario.bars.most_leverage[:1, :, :0],
        ),
        orders._replace(group=np.full_like(orders.group, -1)),
        scenario.rules._replace(**dict.fromkeys(settings, False)),
    )


def with_known_funding(scenario: Scenario) -> Scenario:
    """The same scenario under a policy that never faults."""
    if scenario.rules.funding_unknown != codes.FUNDING_ERROR:
        return scenario
    return Scenario(scenario.bars, scenario.orders, scenario.rules._replace(funding_unknown=codes.FUNDING_ZERO))
