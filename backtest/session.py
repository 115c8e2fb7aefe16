"""One market, one calendar and one configuration, bound once for any number of replays, evaluations and studies.

The kernel's arrays are prepared when they are first needed, and each set of intents is converted once, so that your own
search reaches the kernel's speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from backtest.base.arguments import checked
from backtest.base.config import RunConfig, load_config
from backtest.base.errors import UsageError, near_miss
from backtest.base.progress import Progress, silent
from backtest.catalysts.record import Calendar
from backtest.engine import layout
from backtest.engine.layout import STATISTICS
from backtest.engine.prepared import Prepared, prepare
from backtest.engine.replay import replay_prepared, replay_statistics
from backtest.engine.variations import Orders
from backtest.market.record import Floats, Market
from backtest.scoring.evaluation import DRAWS, Evaluation, evaluate_prepared
from backtest.scoring.placebo import PlaceboPlan
from backtest.signals.filters import check_filters
from backtest.signals.strategy import Intents, Strategy

if TYPE_CHECKING:
    from backtest.engine.run import Run
    from backtest.study.settings import StudyConfig
    from backtest.study.study import Study

VARIED = ("weight", "stop_loss", "take_profit", "trailing_stop", "activation", "hold_ms", "shift")
"""What `statistics` may vary: shares of price or equity, milliseconds held, and bars moved around the circle."""
BLOCK = 65_536
"""Variations replayed at a time."""


class Session:
    """A market, a calendar and a configuration.

    Parameters
    ----------
    market
        Bars to replay over.
    calendar
        Catalysts that strategies and the study read; none by default.
    config
        How intents are replayed; the defaults where None.
    detail
        Finer bars of some of the instruments, to resolve the order of exits inside a bar.

    Raises
    ------
    UsageError
        For an argument of another type, as where two are swapped.
    """

    @checked
    def __init__(
        self,
        market: Market,
        calendar: Calendar | None = None,
        config: RunConfig | None = None,
        *,
        detail: Market | None = None,
    ) -> None:
        self.market = market
        self.calendar = calendar if calendar is not None else Calendar("none", ())
        self.config = config if config is not None else load_config()
        self.detail = detail
        self._prepared: Prepared | None = None

    def __repr__(self) -> str:
        return f"<Session {self.market!r} with {len(self.calendar)} catalysts>"

    @property
    def prepared(self) -> Prepared:
        """The market as the kernel reads it, made once.

        Raises
        ------
        MarketError
            Where the finer bars do not fit those of the market.
        """
        if self._prepared is None:
            self._prepared = prepare(self.market, self.config, self.detail)
        return self._prepared

    @checked
    def replay(self, decided: Intents | Strategy[Any], *, name: str = "") -> Run:
        """Replay intents, or what a strategy decides on this market and calendar.

        Raises
        ------
        DataError
            Where a position meets unknown funding under the policy `error`.
        UsageError
            For an instrument that the market does not hold, or what is neither intents nor a strategy.
        """
        name = name or (decided.name if isinstance(decided, Strategy) else "")
        return replay_prepared(self.prepared, self._intents(decided), calendar=self.calendar, strategy=name)

    def _intents(self, decided: Intents | Strategy[Any]) -> Intents:
        if not isinstance(decided, Strategy):
            return decided
        check_filters(decided, self.market, self.calendar)
        return decided.decide(self.market, self.calendar)

    @checked
    def statistics(self, decided: Intents | Strategy[Any], **varied: npt.ArrayLike) -> pd.DataFrame:
        """Statistics of many variations of the same intents, one row each.

        Parameters
        ----------
        decided
            K intents, or a strategy that decides them once on this market and calendar.
        varied
            `weight`, `stop_loss`, `take_profit`, `trailing_stop`, `activation` (shares), `hold_ms` (milliseconds) or
            `shift` (bars around the circle): each a value, V values, or (V, K) values, one for each variation and
            intent. NaN is no level. What is not given is as the intents say.

        Returns
        -------
        DataFrame (V, 8)
            `net_return`, `sharpe`, `sortino`, `max_drawdown`, `trades`, `hit_rate`, `mean_trade` and `exposure`, as
            the docstring of `backtest.engine.kernel` defines them; a replay that met unknown funding under the policy
            `error` is a row of NaN.

        Raises
        ------
        UsageError
            For a name that cannot be varied, a shape that does not fit, or a value out of range.
        """
        blocks = list(self.statistics_by_block(decided, BLOCK, **varied))
        return pd.DataFrame(np.concatenate(blocks), columns=list(STATISTICS))

    def statistics_by_block(
        self, decided: Intents | Strategy[Any], block: int = BLOCK, **varied: npt.ArrayLike
    ) -> Iterator[Floats]:
        """The same in successive arrays (at most `block`, 8), so that a search of any size fits in memory."""
        orders, count = self._varied(self._intents(decided), varied)
        for first in range(0, count, block):
            rows_of_block: Any = (rows if len(rows) == 1 else rows[first : first + block] for rows in orders)
            yield replay_statistics(Orders(*rows_of_block), self.prepared, min(block, count - first))

    def _varied(self, intents: Intents, varied: dict[str, npt.ArrayLike]) -> tuple[Orders, int]:
        base = self.prepared.orders(intents)
        changed: dict[str, Any] = {}
        count = 1
        for name, given in varied.items():
            if name not in VARIED:
                raise UsageError(f"{name!r} cannot be varied; {near_miss(name, VARIED)}")
            values = _rows(name, given, len(intents))
            if len(values) > 1 and count not in (1, len(values)):
                raise UsageError(f"{name} has {len(values)} variations, others have {count}: give as many of each")
            count = max(count, len(values))
            if name == "hold_ms":
                bars = np.ceil(values / self.market.bar_ms)
                changed["hold"] = np.minimum(bars, layout.NEVER).astype(np.int32)
            elif name == "shift":
                changed["shift"] = values[:, 0].astype(np.int32)
            else:
                changed[name] = values
        return base._replace(**changed), count

    @checked
    def evaluate(
        self,
        strategies: Sequence[Strategy[Any]],
        *,
        plan: PlaceboPlan | None = PlaceboPlan(),  # noqa: B008 - frozen
        bootstrap: int = DRAWS,
        endogenous: bool = False,
        cluster: str | None = None,
        progress: Progress = silent,
    ) -> Evaluation:
        """Decide, replay, score and judge every strategy; see `backtest.evaluate`."""
        return evaluate_prepared(
            strategies,
            self.prepared,
            self.calendar,
            plan=plan,
            bootstrap=bootstrap,
            endogenous=endogenous,
            cluster=cluster,
            progress=progress,
        )

    @checked
    def study(
        self, config: StudyConfig | None = None, *, cluster: str | None = None, progress: Progress = silent
    ) -> Study:
        """Abnormal returns, volume and open interest around the catalysts; see `backtest.event_study`."""
        from backtest.study.settings import StudyConfig
        from backtest.study.study import event_study

        return event_study(self.market, self.calendar, config or StudyConfig(), cluster=cluster, progress=progress)


def _rows(name: str, given: npt.ArrayLike, intents: int) -> Floats:
    """(V, K) values, one row where all variations share them."""
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} holds something other than numbers: give an array of floats") from None
    if values.ndim < 2:
        values = np.broadcast_to(values.reshape(-1, 1), (values.size, 1 if name == "shift" else intents))
    wide = 1 if name == "shift" else intents
    if values.ndim != 2 or values.shape[1] != wide or not len(values):
        raise UsageError(f"{name} has shape {np.shape(given)}: give a value, V values, or (V, {wide}) values")
    levels = name in ("stop_loss", "take_profit", "trailing_stop", "activation")
    least = 0.0 if levels or name == "weight" else 1.0 if name == "hold_ms" else -np.inf
    wrong = ~(np.isnan(values) if levels else np.zeros(values.shape, np.bool_)) & ~(values > least)
    if (name != "shift" and wrong.any()) or np.isinf(values).any():
        first = values[wrong | np.isinf(values)][0]
        raise UsageError(f"{name} = {first:g} is out of range: give finite values above {least:g}")
    return np.ascontiguousarray(values)
