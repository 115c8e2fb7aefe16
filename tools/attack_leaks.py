"""What replays, portfolios and studies keep in one process: resident memory after each tenth of many rounds.

python -m tools.attack_leaks [--rounds 1000] [--deeds replays,portfolios,studies]

Peak memory cannot tell a leak from what the allocator keeps for later, so memory is measured after a collection and
after the allocator gave back what it can; what counts is the slope over the rounds after the first ones, which fill
what is kept on purpose: modules, tables of libraries, the orders of the last 64 sets of intents.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar
from backtest.market.dataset import default_dataset, open_dataset
from backtest.session import Session
from backtest.strategies import REGISTRY
from backtest.study.settings import StudyConfig

MOST_KB = 8.0
"""Kilobytes a round from which memory counts as kept: 8 MB in a thousand rounds."""
COINS = ("ZEC/USDT:USDT", "DASH/USDT:USDT", "BTC/USDT:USDT")


@dataclass(frozen=True, slots=True)
class Kept:
    """Resident kilobytes (M,) after so many rounds (M,)."""

    rounds: tuple[int, ...]
    kilobytes: tuple[float, ...]

    @property
    def slope(self) -> float:
        """Kilobytes that a round keeps, by least squares."""
        return float(np.polyfit(self.rounds, self.kilobytes, 1)[0])

    @property
    def line(self) -> str:
        """The figures in a line."""
        megabytes = [value / 1024 for value in self.kilobytes]
        return (
            f"{self.rounds[-1]:,} rounds; resident {megabytes[0]:.1f} MB at first, {megabytes[-1]:.1f} MB at the end, "
            f"{min(megabytes):.1f} to {max(megabytes):.1f} MB, {self.slope:+.2f} KB a round"
        )


def resident_kb() -> float:
    """Memory of this process that is in use, in kilobytes."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024


def kept(rounds: int, work: Callable[[], object], first: int = 70, moments: int = 20) -> Kept:
    """What is in use at moments of so many rounds of the same work, after `first` rounds that do not count."""
    for _ in range(first):
        work()
    at = sorted({rounds * moment // moments for moment in range(moments + 1)})
    found = [resident_kb()]
    for number in range(1, rounds + 1):
        work()
        if number in at:
            found.append(resident_kb())
    return Kept(tuple(at), tuple(found))


def small_session(catalysts: int = 6) -> Session:
    """Three coins of the embedded sample, and the first catalysts of its calendar that are theirs."""
    market = open_dataset(default_dataset()).select(COINS)
    calendar = open_calendar("privacy-2025")
    own = [one for one in calendar if {f"{coin}/USDT:USDT" for coin in one.assets} & set(COINS)]
    return Session(market, Calendar("small", tuple(own[:catalysts])))


def deeds(session: Session, draws: int = 20) -> dict[str, Callable[[], object]]:
    """What a long notebook does again and again, each on the same session and on one made anew."""
    config = StudyConfig(draws=draws, before="12h", after=("12h",))
    strategy = REGISTRY["catalyst_momentum"]()

    def anew() -> Session:
        return Session(session.market, session.calendar, session.config)

    return {
        "replays": lambda: (session.replay(strategy), anew().replay(strategy)),
        "portfolios": lambda: (session.replay(strategy).portfolio.stats(), anew().replay(strategy).portfolio.value()),
        "studies": lambda: anew().study(config),
    }


def leaks(rounds: int, names: Sequence[str] = ("replays", "portfolios", "studies")) -> list[str]:
    """Sentences about what is kept, empty where nothing is; prints a line for each deed."""
    lost = []
    for name, work in ((name, deeds(small_session())[name]) for name in names):
        found = kept(rounds, work)
        if found.slope > MOST_KB:
            lost.append(f"{name} keep {found.slope:.1f} KB a round")
        print(f"leaks, {name}: {found.line}; lost: {int(found.slope > MOST_KB)}", flush=True)
    return lost


def main(words: Sequence[str] | None = None) -> int:
    """Measure; 1 where anything is kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--deeds", type=lambda text: text.split(","), default=["replays", "portfolios", "studies"])
    asked = parser.parse_args(words)
    return 1 if leaks(asked.rounds, asked.deeds) else 0


if __name__ == "__main__":
    sys.exit(main())
