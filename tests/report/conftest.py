"""A report of a hostile calendar, made once: run, event study, search and claims."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from backtest.base.config import load_config
from backtest.catalysts.reading import open_calendar
from backtest.catalysts.record import Calendar, Catalyst
from backtest.engine.run import Run
from backtest.market.dataset import default_dataset, open_dataset
from backtest.report.folder import run_document
from backtest.report.html import Contents, gather, render
from backtest.report.search_folder import read_search, write_sweep
from backtest.scoring.evaluation import Evaluation, evaluate
from backtest.scoring.placebo import PlaceboPlan
from backtest.scoring.space import axes_of, grid_trials
from backtest.scoring.sweep import Sweep, run_sweep
from backtest.strategies import REGISTRY

FLAG = "window.hostile = 1"
LONG_NOTE = f"</script><script>{FLAG}</script>" + "A" * 9_900 + " ]]> \u202edne"
HOSTILE = (
    f"<script>{FLAG}</script>",
    f'"><img src=x onerror="{FLAG}">',
    f"' onmouseover='{FLAG}' autofocus onfocus='{FLAG}",
    f"</title></style></textarea><svg onload={FLAG}>",
    f"<!--]]> <![CDATA[<script>{FLAG}</script>]]>",
    "{{ 7 * 7 }}{% raw %}$x^2$ &lt;b&gt; \x07\x1b[31m",
    "\u202egnihton\u2066 admin\u202c",
    "=HYPERLINK(1) \N{PILE OF POO} " + "W" * 150,
)
CATALYSTS = 10
NAMES = ("catalyst_momentum", "buy_and_hold")


@dataclass(frozen=True)
class Reported:
    """A page, what it was made of, and where it stands."""

    contents: Contents
    text: str
    path: Path

    @property
    def lead(self) -> Run:
        assert self.contents.evaluation is not None
        return self.contents.evaluation.runs[0]


def hostile_calendar() -> Calendar:
    """The first of the embedded catalysts with hostile actors, sources and notes."""
    catalysts = []
    told_of = [one for one in open_calendar("privacy-2025") if not one.endogenous]
    for number, one in enumerate(told_of[:CATALYSTS]):
        text = HOSTILE[number % len(HOSTILE)]
        told = {name: getattr(one, name) for name in Catalyst.__dataclass_fields__}
        told |= {"confounded_with": (), "actor": text, "source": f"javascript:{FLAG}//{text[:40]}", "note": text}
        catalysts.append(Catalyst(**told | ({"note": LONG_NOTE} if number == 0 else {})))
    return Calendar("hostile", tuple(catalysts))


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    market = open_dataset(default_dataset())
    chosen = [REGISTRY[name]() for name in NAMES]
    return evaluate(chosen, market, hostile_calendar(), plan=PlaceboPlan("shift", 200), bootstrap=0)


@pytest.fixture(scope="session")
def reported(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    folder = tmp_path_factory.mktemp("report")
    trials = grid_trials(axes_of({"hold": "24h,48h", "stop_loss": "0.05,0.2"}))
    market, calendar = evaluation.market, evaluation.calendar
    strategy = type(REGISTRY["catalyst_momentum"]())
    sweep = Sweep(strategy, trials, market, calendar, load_config(), PlaceboPlan("shift", 100))
    write_sweep(folder / "sweep", run_sweep(sweep, folder / "sweep"))
    contents = gather(
        run_document(evaluation), evaluation, draws=50, searches=[read_search(folder / "sweep")], command="backtest run"
    )
    text = render(contents)
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8", newline="")
    return Reported(contents, text, path)
