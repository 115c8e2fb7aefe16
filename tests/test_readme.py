"""The code blocks of the README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_blocks_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_table_shown_is_the_table_printed() -> None:
    from backtest.catalysts.record import open_calendar
    from backtest.config import RunConfig
    from backtest.engine.replay import replay
    from backtest.market.dataset import default_dataset, open_dataset
    from backtest.report.tables import number, percent, plain_percent
    from backtest.scoring.metrics import named, score_run
    from strategies import REGISTRY

    market, calendar = open_dataset(default_dataset()), open_calendar("privacy-2025")
    for name in ("buy_and_hold", "catalyst_momentum"):
        intents = REGISTRY[name]().decide(market, calendar)
        scores = named(score_run(replay(market, intents, RunConfig(), calendar=calendar, strategy=name)))
        row = next(line.split() for line in README.splitlines() if line.split()[:1] == [name])
        assert row[1:4] == [
            percent(scores["net_return"].value),
            number(scores["sharpe"].value),
            plain_percent(scores["max_drawdown"].value),
        ]
