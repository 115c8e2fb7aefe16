"""What every strategy does on the sample and on the real hours of the same bars: `python -m tools.sample_against_real`.

It reads `../shared/market` (or the folder that BACKTEST_SHARED names) and prints a table; with `--write` it puts the
table into docs/sample-against-real.md and its main columns into the data card. Both markets have the same window and
instruments; neither has open interest.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backtest.base.errors import UsageError
from backtest.base.units import TimeRange
from backtest.catalysts.reading import open_calendar
from backtest.market.dataset import default_dataset, open_dataset
from backtest.market.joining import open_datasets
from backtest.market.record import Market
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.metrics import named
from backtest.scoring.placebo import PlaceboPlan
from backtest.strategies import REGISTRY

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sample-against-real.md"
CARD = ROOT / "datasets" / "README.md"
BEGIN, END = "<!-- table: python -m tools.sample_against_real --write -->", "<!-- end of table -->"
DRAWS = 999
# What the two must have in common, in points of a share.
WITHIN = 0.03
REASONS = {
    "basis_reversion": "the distance of perpetual and spot is known at prices and extremes of days alone, and is "
    "linear between them, so that it is wide more often than it was",
    "listing_fade": "it enters six hours after listings of the morning and is stopped inside days, where hours are a "
    "guess; one trade against three",
    "random_entry": "it enters at hours drawn at random and is stopped inside days, where hours are a guess",
}
"""Why a strategy does not keep a promise, by name: a test wants one for each that does not, and none for the others."""
SCORES = ("net_return", "sharpe", "max_drawdown", "before", "waited", "captured", "trades")


@dataclass(frozen=True, slots=True)
class Pair:
    """One strategy on both: scores by name, verdicts, and its trades that enter and leave at midnight on both.

    `by_days` (K, 4) holds before and captured of those trades, of the sample and then of the real bars.
    """

    strategy: str
    sample: dict[str, float]
    real: dict[str, float]
    verdicts: tuple[str, str]
    by_days: np.ndarray

    @property
    def differs(self) -> tuple[str, ...]:
        """Which of the promises this strategy does not keep, in words."""
        found = []
        if np.sign(round(self.sample["net_return"], 4)) != np.sign(round(self.real["net_return"], 4)):
            found.append("sign of net")
        gaps = np.abs(self.by_days[:, :2] - self.by_days[:, 2:]).max(axis=0) if len(self.by_days) else np.zeros(2)
        found += [name for name, gap in zip(("before", "captured"), gaps, strict=True) if gap > WITHIN]
        if self.verdicts[0] != self.verdicts[1]:
            found.append("verdict")
        return tuple(found)


def markets(shared: Path) -> tuple[Market, Market]:
    """The sample and the real bars: the same hours of the same instruments, without open interest.

    Raises
    ------
    UsageError
        Where the folder does not hold the real bars.
    """
    folder = shared / "market"
    if not folder.is_dir():
        raise UsageError(f"{folder} does not exist: name the folder of real bars by BACKTEST_SHARED")
    sample = open_dataset(default_dataset())
    window = TimeRange(sample.start_ms, sample.end_ms)
    real = open_datasets(f"{folder / 'binance-usdm-2025q4'}+{folder / 'binance-spot-2025q4'}").between(window)
    symbols = tuple(symbol for symbol in sample.symbols if symbol in real.symbols)
    blind = {"open_interest": np.full((len(sample.index), len(symbols)), np.nan)}
    return sample.select(symbols).with_panels(blind), real.select(symbols).with_panels(blind)


def pairs(sample: Market, real: Market, draws: int = DRAWS) -> tuple[Pair, ...]:
    """Every strategy with its defaults on both."""
    calendar, plan = open_calendar("privacy-2025"), PlaceboPlan(draws=draws)
    strategies = [REGISTRY[name]() for name in sorted(REGISTRY)]
    found = [evaluate(strategies, market, calendar, plan=plan, bootstrap=0) for market in (sample, real)]
    return tuple(_pair(found[0], found[1], place) for place in range(len(strategies)))


def _pair(sample: Evaluation, real: Evaluation, place: int) -> Pair:
    cards = (sample.cards[place], real.cards[place])
    scores = [{name: named(card.scores)[name].value for name in SCORES} for card in cards]
    return Pair(
        cards[0].strategy,
        scores[0],
        scores[1],
        (cards[0].verdict, cards[1].verdict),
        _by_days(sample, real, place),
    )


def _by_days(sample: Evaluation, real: Evaluation, place: int) -> np.ndarray:
    keys = ["catalyst_id", "instrument", "entry_time", "exit_time"]
    one, other = (found.runs[place].trades for found in (sample, real))
    both = one[one["catalyst_id"] != ""].merge(other, on=keys, suffixes=("", "_real"))
    midnight = (both["entry_time"].dt.hour == 0) & (both["exit_time"].dt.hour == 0)
    midnight &= (both["exit_phase"] == "open") & (both["exit_phase_real"] == "open")
    columns = ["before", "captured", "before_real", "captured_real"]
    return np.asarray(both.loc[midnight, columns].to_numpy(dtype=np.float64))


def table(found: Sequence[Pair]) -> str:
    """The pairs as a Markdown table, sample | real in each cell."""
    scored = ("net", "Sharpe", "drawdown", "trades", "before", "waited", "captured")
    head = ("strategy", *scored, "by days", "verdict", "differs")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for one in found:
        cells = [
            one.strategy,
            *(_both(one, name, show) for name, show in zip(SCORES[:3], (_percent, _number, _plain), strict=True)),
            _both(one, "trades", _count),
            *(_both(one, name, _percent) for name in ("before", "waited", "captured")),
            str(len(one.by_days)) if len(one.by_days) else "-",
            one.verdicts[0] if one.verdicts[0] == one.verdicts[1] else " / ".join(one.verdicts),
            ", ".join(one.differs) or "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    apart = [one for one in found if one.differs]
    lines += ["", f"The two differ in {len(apart)} of {len(found)} strategies:", ""]
    for one in apart:
        lines.append(f"- `{one.strategy}` ({', '.join(one.differs)}): {REASONS.get(one.strategy, 'no reason known')}.")
    return "\n".join(lines)


def short_table(found: Sequence[Pair]) -> str:
    """The pairs of the data card: net, Sharpe ratio, drawdown, before, captured and the verdict."""
    head = ("strategy", "net", "Sharpe", "drawdown", "before", "captured", "verdict")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for one in found:
        cells = [
            _both(one, name, show)
            for name, show in zip(
                ("net_return", "sharpe", "max_drawdown", "before", "captured"),
                (_percent, _number, _plain, _percent, _percent),
                strict=True,
            )
        ]
        verdict = one.verdicts[0] if one.verdicts[0] == one.verdicts[1] else " / ".join(one.verdicts)
        lines.append(f"| {' | '.join((one.strategy, *cells, verdict))} |")
    return "\n".join(lines)


def _both(one: Pair, name: str, show: Callable[[float], str]) -> str:
    return f"{show(one.sample[name])} / {show(one.real[name])}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.1%}"


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _count(value: float) -> str:
    return f"{value:.0f}"


def written(page: str, text: str) -> str:
    """The page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    """Print the table, or write it into the page."""
    shared = Path(os.environ.get("BACKTEST_SHARED", ROOT.parent / "shared"))
    found = pairs(*markets(shared))
    text = table(found)
    if arguments == ["--write"]:
        for page, part in ((PAGE, text), (CARD, short_table(found))):
            page.write_text(written(page.read_text(encoding="utf-8"), part), encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
