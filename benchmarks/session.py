"""`python -m benchmarks.session`: CPU seconds of `Session.statistics` and of the kernel that it calls, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from backtest import Session, open_calendar, open_dataset
from backtest.engine.kernel import replay_many
from backtest.strategies import REGISTRY
from benchmarks.table import count, table

VARIATIONS, REPEATS, SEED = 10_000, 5, 20251101


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of one call, all threads."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    """Measure and print."""
    session = Session(open_dataset("privacy-2025-sample"), open_calendar("privacy-2025"))
    intents = REGISTRY["catalyst_momentum"]().decide(session.market, session.calendar)
    rng = np.random.default_rng(SEED)
    shift = rng.integers(0, len(session.market.index), VARIATIONS)
    stop = rng.uniform(0.02, 0.3, VARIATIONS)
    prepared = session.prepared
    orders = prepared.orders(intents)._replace(
        shift=shift.astype(np.int32), stop_loss=np.repeat(stop[:, None], len(intents), axis=1)
    )

    def public() -> object:
        return session.statistics(intents, shift=shift, stop_loss=stop)

    def bare() -> object:
        return replay_many(orders, prepared.bars, prepared.rules, VARIATIONS, 1)

    public()
    bare()
    pairs = [(cpu_seconds(public), cpu_seconds(bare)) for _ in range(REPEATS)]
    ratios = sorted(ours / kernel for ours, kernel in pairs)
    print(
        table(
            f"Session.statistics of {count(VARIATIONS)} variations beside the bare kernel, {REPEATS} times in turn",
            ("call", "CPU s, least", "ratio, median", "least to greatest"),
            [
                (
                    "Session.statistics",
                    f"{min(one[0] for one in pairs):.3f}",
                    f"{ratios[REPEATS // 2]:.2f}",
                    f"{ratios[0]:.2f} to {ratios[-1]:.2f}",
                ),
                ("replay_many", f"{min(one[1] for one in pairs):.3f}", "", ""),
            ],
            ("goal: at most 2",),
        )
    )


if __name__ == "__main__":
    main()
