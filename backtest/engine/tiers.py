"""What the venue asks of a position by its notional: maintenance margin and most leverage, as in force at a bar.

Both come in tiers, and the tiers in versions, each in force from the open of a bar on. A position is judged by those of
its own bar: where they change its liquidation level is computed anew before that bar's open is checked.
"""

from __future__ import annotations

import math

import numpy as np

from backtest.engine.compiling import inlined, linked
from backtest.engine.layout import NEVER, Bars, Positions, Rules


@inlined
def has_tiers(bars: Bars) -> bool:
    """Whether the venue's tiers of any instrument are known; a batch without any is replayed by code without them."""
    return bool(bars.tiers.shape[2] + bars.most_leverage.shape[2] > 0)


@inlined
def _version_at(bars: Bars, t: int) -> int:
    """The version of the tiers in force in bar t."""
    version = 0
    while version + 1 < bars.tier_rows.shape[0] and bars.tier_rows[version + 1] <= t:
        version += 1
    return version


@inlined
def _is_tiered(version: int, column: int, bars: Bars) -> bool:
    """Whether an instrument has tiers of maintenance in a version."""
    return bool(bars.tiers.shape[2] > 0 and not math.isnan(bars.tiers[version, np.uintp(column), 0, 0]))


@inlined
def change_from(bars: Bars, t: int) -> int:
    """First row from t on at which the tiers change, NEVER where none."""
    for version in range(1, bars.tier_rows.shape[0]):
        if bars.tier_rows[version] >= t:
            return int(bars.tier_rows[version])
    return NEVER


@inlined
def liquidation_level(
    side: float, quantity: float, price: float, margin: float, column: int, t: int, bars: Bars, rules: Rules
) -> float:
    """Signed price at which margin + side * quantity * (p - price) is the maintenance margin of quantity * p in bar t.

    That is the greatest of rate * notional - deduction over the tiers of the instrument, so the level is the nearest
    of theirs; the rules' rate without deduction where there are none. Under cross margin: none.
    """
    if rules.cross:
        return -np.inf
    version = _version_at(bars, t)
    if rules.plain or not _is_tiered(version, column, bars):
        return side * (price - side * margin / quantity) / (1.0 - side * rules.maintenance_margin)
    level: float = -np.inf
    for tier in range(bars.tiers.shape[2]):
        rate = bars.tiers[version, np.uintp(column), tier, 0]
        deduction = bars.tiers[version, np.uintp(column), tier, 1]
        level = max(level, side * (price - side * (margin + deduction) / quantity) / (1.0 - side * rate))
    return level


@inlined
def level_again(state: Positions, p: int, t: int, bars: Bars, rules: Rules) -> None:
    """The liquidation level of a swap whose margin, quantity or tiers have changed."""
    level = liquidation_level(
        state[p].side, state[p].quantity, state[p].price, state[p].margin, state[p].column, t, bars, rules
    )
    if not rules.plain and state[p].marked and rules.liquidates_on_mark:
        state[p].mark_liquidation = level
    else:
        state[p].liquidation = level


@linked
def levels_again(state: Positions, count: int, t: int, bars: Bars, rules: Rules) -> None:
    """The liquidation level of each of some positions under the tiers in force from bar t on."""
    for p in range(count):
        if bars.swap[np.uintp(state[p].column)]:
            level_again(state, p, t, bars, rules)


@linked
def too_levered(t: int, column: int, together: float, notional: float, bars: Bars, rules: Rules) -> bool:
    """Whether the tiers of bar t do not allow the rules' leverage to an entry filled at `notional`.

    The most leverage is that of the tier of all that is then held in the instrument, `together`. A margin that is no
    more than the maintenance margin is too little at any venue.
    """
    if not bars.swap[np.uintp(column)]:
        return False
    version = _version_at(bars, t)
    most: float = np.inf
    for tier in range(bars.most_leverage.shape[2]):
        if together >= bars.most_leverage[version, column, tier, 0]:
            most = min(most, bars.most_leverage[version, column, tier, 1])
    return rules.leverage > most or notional <= rules.leverage * _needed(version, column, notional, bars)


@inlined
def _needed(version: int, column: int, notional: float, bars: Bars) -> float:
    """Maintenance margin of a notional by the tiers of an instrument, 0 where it has none."""
    needed = 0.0
    for tier in range(bars.tiers.shape[2]):
        rate, deduction = bars.tiers[version, column, tier, 0], bars.tiers[version, column, tier, 1]
        if rate * notional - deduction > needed:
            needed = rate * notional - deduction
    return needed


@inlined
def maintenance_of(column: int, t: int, notional: float, bars: Bars, rules: Rules) -> float:
    """Maintenance margin of a notional in bar t."""
    version = _version_at(bars, t)
    if not _is_tiered(version, column, bars):
        return rules.maintenance_margin * notional
    return _needed(version, column, notional, bars)
