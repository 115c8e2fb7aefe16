"""What a user asked `run` for, as it is written down so that `report` and `baseline` can ask for it again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from backtest.config import RunConfig, load_config
from backtest.documents import build, table_of
from backtest.errors import ConfigError, UsageError
from backtest.progress import Progress, silent
from backtest.units import TimeRange, parse_timerange

if TYPE_CHECKING:
    from backtest.catalysts.record import Calendar
    from backtest.scoring.evaluation import Evaluation
    from backtest.signals.strategy import Strategy


class Request(BaseModel):
    """One call of `run`: names, paths and texts as they were given; what was not given takes today's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    timeframe: str | None = None
    store: str | None = None
    calendars: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    timerange: str | None = None
    config: str | None = None
    settings: dict[str, str] = {}
    detail: str | None = None
    placebo: str = "10000"
    statistic: str = "net_return"
    bootstrap: int = 1_000

    @classmethod
    def read(cls, values: Any, document: Path) -> Request:
        """The request that a document holds; a malformed one raises `ConfigError`.

        A strategy file that it names is executed when the request is run again. Nobody typed that name here, so the
        file must lie inside the folder one is in, and not beside the document that came with it; else `UsageError`.
        """
        from backtest.signals.loading import file_of, is_file_reference

        request = build(cls, table_of(values, document, ConfigError), f"request of {document}")
        here, beside = Path.cwd().resolve(), document.resolve().parent
        for name in filter(is_file_reference, request.strategies):
            file = file_of(name).resolve()
            if not file.is_relative_to(here) or file.is_relative_to(beside):
                raise UsageError(
                    f"{document} names the strategy file {file}, which is not run because it lies outside of {here} or "
                    "beside the document: if you trust it, copy it into a folder of your project and run it by -s"
                )
        return request

    def chosen(self) -> list[Strategy[Any]]:
        """The strategies asked for, each with its parameters."""
        from backtest.cli.options import strategies_of

        return strategies_of(self.strategies, self.parameters)

    def calendar(self) -> Calendar:
        """The catalysts asked for."""
        from backtest.cli.events import calendar_of

        return calendar_of(list(self.calendars))

    def run_config(self) -> RunConfig:
        """The configuration: defaults, then the file, then what was set."""
        return load_config(Path(self.config) if self.config else None, **self.settings)

    def evaluate(self, within: TimeRange | None = None, progress: Progress = silent) -> Evaluation:
        """Run what was asked for; `within` replaces the time range, so that bars which came later are left out."""
        settings, strategies, calendar = self.run_config(), self.chosen(), self.calendar()
        window = within or (parse_timerange(self.timerange) if self.timerange else None)

        from backtest.cli.options import detail_of, market_of
        from backtest.scoring.evaluation import evaluate
        from backtest.scoring.placebo import parse_plan

        plan = parse_plan(self.placebo, self.statistic, settings.seed)
        store = Path(self.store) if self.store else None
        market = market_of(self.dataset, self.timeframe, store, window)
        return evaluate(
            strategies,
            market,
            calendar,
            settings,
            plan=plan,
            bootstrap=self.bootstrap,
            detail=detail_of(self.detail, store),
            progress=progress,
        )
