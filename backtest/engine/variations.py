"""What the kernel is asked to replay: variations of the same intents, and one of them."""

from __future__ import annotations

from typing import NamedTuple

from backtest.engine.layout import F8, I4


class Orders(NamedTuple):
    """V variations of K intents in rows and bars, each (V, K) or (1, K); absent levels are NaN, rows NEVER.

    From `activation` to `stop_entry` a field that no intent has may be (1, 0): it is not looked for then.
    `activation` is the gain from the fill at which a trailing stop begins to follow, `second_activation` the one from
    which it follows at `second_trailing_stop`, `break_even` the one from which the stop lies at the fill.
    `late_take_profit` is the target from `late` bars after the fill on. `notional`: a fixed size in place of `weight`.
    `group`: legs of one number enter together; from 0 on they leave together too, from -2 down they are parts of one
    order that leave on their own; -1 stands alone. `limit` and `stop_entry` are distances from the last close before
    the order arrives, the one on the better, the other on the worse side of it.
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
    activation: F8
    second_trailing_stop: F8
    second_activation: F8
    break_even: F8
    late_take_profit: F8
    late: I4
    notional: F8
    limit: F8
    stop_entry: F8
    group: I4
    shift: I4


class Variation(NamedTuple):
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
    activation: F8
    second_trailing_stop: F8
    second_activation: F8
    break_even: F8
    late_take_profit: F8
    late: I4
    notional: F8
    limit: F8
    stop_entry: F8
    group: I4
    shift: int
