"""Written times without a zone as instants of a zone: hours that its clocks skip, and hours that they show twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from backtest.market.quality import Int64s


@dataclass(frozen=True, slots=True, eq=False)
class LocalTimes:
    """Instants of local times: `time_ms` (n,) UTC, and by row why it is not known, empty if every one is."""

    time_ms: Int64s
    problems: dict[int, str]


def from_local(moments: Sequence[datetime], zone: ZoneInfo) -> LocalTimes:
    """Instants of local times in the order of their file.

    An hour that is shown twice is told apart by the order of the rows, if both are there; a file that has such an hour
    once does not say which of the two it is.
    """
    early = [round(one.replace(tzinfo=zone, fold=0).timestamp() * 1000) for one in moments]
    late = [round(one.replace(tzinfo=zone, fold=1).timestamp() * 1000) for one in moments]
    time_ms = np.array(early, dtype=np.int64)
    changing = [row for row, pair in enumerate(zip(early, late, strict=True)) if pair[0] != pair[1]]
    if not changing:
        return LocalTimes(time_ms, {})
    problems: dict[int, str] = {}
    twice: dict[object, list[int]] = {}
    for row in changing:
        if datetime.fromtimestamp(early[row] / 1000, zone).replace(tzinfo=None) != moments[row]:
            problems[row] = f"does not exist in {zone.key}, whose clocks skip it: the times are of another zone"
        else:
            twice.setdefault(moments[row].date(), []).append(row)
    falling = len(moments) > 1 and moments[0] > moments[-1]
    for rows in twice.values():
        previous: int | None = None
        second = []
        for row in reversed(rows) if falling else rows:
            chosen = early[row] if previous is None or early[row] > previous else late[row]
            second.append(chosen == late[row])
            time_ms[row] = previous = chosen
        if 2 * sum(second) != len(rows):
            why = f"is shown twice by the clocks of {zone.key}, and the file does not say which it is: export it in UTC"
            problems |= dict.fromkeys(rows, why)
    return LocalTimes(time_ms, problems)
