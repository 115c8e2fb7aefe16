"""The request, as written into run.json and baselines so that it can be run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from backtest.base.arguments import checked
from backtest.base.config import RunConfig, load_config
from backtest.base.documents import build, read_json, table_of, worded
from backtest.base.errors import ConfigError, DataError, UsageError, shortened
from backtest.base.estimate import Workload
from backtest.base.identity import document_of, neutral
from backtest.base.progress import Progress, silent
from backtest.base.schemas.upgrades import upgraded
from backtest.base.units import TimeRange, from_iso, parse_timerange
from backtest.catalysts.record import Calendar
from backtest.request.calendars import calendar_of

if TYPE_CHECKING:
    from backtest.market.record import Market
    from backtest.scoring.evaluation import Evaluation
    from backtest.scoring.placebo import PlaceboPlan
    from backtest.session import Session
    from backtest.signals.strategy import Strategy


@worded("request", ConfigError)
class Request(BaseModel):
    """Data, calendar, strategies, parameters, configuration and placebo: names, paths and texts as they were given.

    Omitted values take today's default. The methods carry out the request, step by step or as a whole.
    """

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
    endogenous: bool = Field(False, json_schema_extra=neutral(False))
    series: dict[str, str] = Field({}, json_schema_extra=neutral({}))
    currency: str | None = Field(None, json_schema_extra=neutral(None))
    rules: str | None = Field(None, json_schema_extra=neutral(None))

    # Where it was read from, and which files were trusted by hand; copies keep both.
    _document: Path | None = PrivateAttr(None)
    _trusted: tuple[Path, ...] = PrivateAttr(())

    @classmethod
    def read(cls, values: Any, document: Path, trust: Sequence[Path] = ()) -> Request:
        """The request that a document holds; a malformed one raises `ConfigError`.

        It runs only strategy files in `trust`, whatever it or a copy of it names: see `trusted_files`.
        """
        request = build(cls, table_of(values, document, ConfigError), f"request of {document}")
        request._document, request._trusted = document, tuple(trust)
        return request

    def trusted_files(self) -> list[str]:
        """One line for each strategy file that its document runs; `UsageError` for one that the user did not trust."""
        from backtest.signals.trust import trusted_files

        return trusted_files(self.strategies, self._document, self._trusted) if self._document else []

    def chosen(self) -> list[Strategy[Any]]:
        """The requested strategies, each with its parameters."""
        from backtest.request.strategies import strategies_of

        self.trusted_files()
        return strategies_of(self.strategies, self.parameters)

    def each_alone(self) -> list[Request]:
        """A separate request for each strategy, with its own parameters."""
        from backtest.request.strategies import each_alone

        self.trusted_files()
        parts = each_alone(self.strategies, self.parameters)
        return [self.model_copy(update={"strategies": (name,), "parameters": own}) for name, own in parts]

    def calendar(self) -> Calendar:
        """The requested catalysts."""
        return calendar_of(self.calendars)

    def traded(self) -> Calendar:
        """Those that are traded and tested: without moves of the price itself, unless `endogenous`."""
        return self.calendar().tested(endogenous=self.endogenous)

    def document(self) -> dict[str, Any]:
        """The request as JSON values; a setting added after 0.1 only if it has an effect."""
        return document_of(self)

    def run_config(self) -> RunConfig:
        """The configuration: defaults, then the file, then individual settings."""
        return load_config(Path(self.config) if self.config else None, **self.settings)

    def window(self) -> TimeRange | None:
        """The requested time range; None for all bars."""
        return parse_timerange(self.timerange) if self.timerange else None

    def plan(self, seed: int) -> PlaceboPlan | None:
        """The requested placebo; None for none."""
        from backtest.scoring.placebo import parse_plan

        return parse_plan(self.placebo, self.statistic, seed)

    def market(self, within: TimeRange | None = None) -> Market:
        """The requested bars, the embedded sample if none are named; `within` replaces the time range."""
        from backtest.market.dataset import default_dataset
        from backtest.market.joining import open_datasets

        window = within or self.window()
        store = Path(self.store) if self.store else None
        market = open_datasets(default_dataset() if self.dataset is None else self.dataset, self.timeframe, store)
        from backtest.market.auxiliary import read_series

        market = market.with_auxiliary(*(read_series(Path(path), name) for name, path in self.series.items()))
        market = market.between(window) if window else market
        if self.rules:
            from backtest.market.instrument_file import ruled

            market = ruled(market, self.rules)
        if self.currency:
            from backtest.market.conversion import converted

            market = converted(market, self.currency)
        return market

    def finer(self) -> Market | None:
        """The requested finer bars; None for none."""
        from backtest.market.dataset import open_dataset

        return open_dataset(self.detail, store=Path(self.store) if self.store else None) if self.detail else None

    def session(self, within: TimeRange | None = None) -> Session:
        """Market, calendar and configuration bound together; `within` replaces the time range.

        The user's input is checked before bars are read.
        """
        config, calendar = self.run_config(), self.calendar()
        self.window()

        from backtest.session import Session

        return Session(self.market(within), calendar, config, detail=self.finer())

    def evaluate(
        self,
        within: TimeRange | None = None,
        progress: Progress = silent,
        *,
        cluster: str | None = None,
        announce: Callable[..., object] | None = None,
    ) -> Evaluation:
        """Run the request; `within` replaces the time range, so that later bars are left out.

        `announce` is called with how much work it is (`backtest.base.estimate.Workload`), once the bars are read.
        """
        config, strategies = self.run_config(), self.chosen()
        plan = self.plan(config.seed)
        session = self.session(within)
        if announce is not None:
            catalysts = len(session.calendar.tested(endogenous=self.endogenous))
            bars, coins = session.market.close.shape
            draws = plan.draws if plan else 0
            announce(Workload(bars, coins, catalysts, len(strategies), draws, self.bootstrap))
        return session.evaluate(
            strategies,
            plan=plan,
            bootstrap=self.bootstrap,
            endogenous=self.endogenous,
            cluster=cluster,
            progress=progress,
        )


@checked
def rerun(
    document: Mapping[str, Any] | Path | str,
    place: Path | str = "run.json",
    progress: Progress = silent,
    *,
    trust: Sequence[Path | str] = (),
) -> Evaluation:
    """Repeat the run of a `run.json` on exactly its bars.

    Parameters
    ----------
    document
        A `run.json` of this release or an earlier one: its path, or what it holds.
    place
        The file that a mapping came from, which messages name.
    trust
        Strategy files, or folders of them, that the document may run; no other file is executed.

    Raises
    ------
    DataError
        For a document that is no run, or data that are missing.
    UsageError
        For a run that does not record its request, such as that of a walk-forward.
    """
    if not isinstance(document, Mapping):
        place = Path(document)
        document = table_of(read_json(place, DataError), place, DataError)
    request, within = asked_in(document, Path(place), [Path(path) for path in trust])
    return request.evaluate(within, progress)


def asked_in(document: Mapping[str, Any], place: Path, trust: Sequence[Path] = ()) -> tuple[Request, TimeRange]:
    """The request of a run, with the strategies it meant at the time, and the bars it ran on."""
    run = upgraded(dict(document), "run", place, DataError)
    if run.get("request") is None:
        raise UsageError(f"{place} does not say how to run it again: name a file that `backtest run` wrote")
    request = Request.read(run["request"], place, trust)
    names = request.strategies or tuple(one["name"] for one in run["strategies"])
    start, end = (from_iso(run["dataset"][side]) for side in ("start", "end"))
    return request.model_copy(update={"strategies": names}), TimeRange(start, end)


_EXAMPLES = {
    "-p": "hold=48h",
    "--set": "leverage=2",
    "--series": "shielded_supply=shielded.csv",
    "`with`": "hold=24h",
    "--map": "announced_at=date",
    "--default": "kind=listing",
}


def assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """`name=value` texts as a mapping; a malformed or repeated one raises `UsageError` that names the option."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            example = _EXAMPLES.get(option, "name=value")
            raise UsageError(f"{option} {shortened(text)} is not name=value: write for example {option} {example}")
        if name in values:
            raise UsageError(f"{option} {shortened(name)} is given twice: keep one")
        values[name] = value
    return values
