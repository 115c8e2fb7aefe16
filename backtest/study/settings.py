"""How an event study is made: windows, model, placebo and groups."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from backtest.base.documents import worded
from backtest.base.errors import ConfigError, UsageError
from backtest.base.fields import Duration
from backtest.base.identity import hash_of, neutral
from backtest.base.units import DAY_MS
from backtest.study.abnormal import Model
from backtest.study.alignment import whole_bars
from backtest.study.models import Ints, Windows
from backtest.study.multiplicity import Adjustment

Grouping = Literal["kind", "asset", "actor", "direction", "confidence"]
NameTuple = tuple[str, ...]
# The covariance of the event window has a cell for each two of its bars.
MOST_EVENT_BARS, MOST_ESTIMATION_BARS = 10_000, 1_000_000


@worded("study", ConfigError)
class StudyConfig(BaseModel):
    """Choices of an event study. Frozen; an unknown key is an error. Durations are text (`2d`) and whole bars.

    The windows run estimation, gap, run-up (`before`), announcement period, `after`; the longest `after` ends them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    timeframe: Duration | None = Field(default=None, description="bars to study; None is the market's own")
    model: Model = Field(default="market", description="expected returns: market, market_adjusted or mean_adjusted")
    benchmarks: Annotated[NameTuple, Field(min_length=1)] = Field(
        default=("BTC",), description="coins that explain returns"
    )
    estimation: Duration | None = Field(
        default=None, description="estimation window; None: 14d, or 30d in bars of a day or more"
    )
    minimum_estimation: Annotated[int, Field(ge=5)] | None = Field(
        default=None, description="fewest usable estimation bars; None is half the window"
    )
    gap: Duration = Field(default="1d", description="between estimation window and run-up")
    before: Duration = Field(default="2d", description="run-up before the announcement")
    after: Annotated[tuple[Duration, ...], Field(min_length=1)] = Field(
        default=("1d", "3d"), description="horizons from when it was known"
    )
    exclude_overlaps: bool = Field(
        default=False,
        description="leave out catalysts whose event window holds another one of the coin",
        json_schema_extra=neutral(False),
    )
    clean_estimation: bool = Field(
        default=False,
        description="leave the event windows of the coin's other catalysts out of estimation windows",
        json_schema_extra=neutral(False),
    )
    level: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.95, description="of intervals and chance bands")
    minimum_catalysts: Annotated[int, Field(ge=2)] = Field(
        default=8,
        description="fewest coin-days for asymptotic p and interval; below it the placebo's p",
    )
    draws: Annotated[int, Field(ge=1, le=100_000)] = Field(default=2_000, description="placebo calendars at most")
    match: Literal["hour_and_weekday", "hour"] = Field(
        default="hour", description="what placebo dates share: shifts are whole days, or whole weeks"
    )
    seed: Annotated[int, Field(ge=0)] = Field(default=20251101, description="seed of the placebo")
    multiplicity: Adjustment = Field(default="holm", description="correction over spans and groups")
    groups: tuple[Grouping, ...] = Field(default=("kind", "asset", "actor"), description="groupings of the catalysts")
    calls: Annotated[NameTuple, Field(min_length=1)] = Field(
        default=("influencer_call",), description="kinds that enter the influencer table"
    )
    endogenous: bool = Field(
        default=False,
        description="whether moves of the price itself count in every mean; a kind that is named does",
        json_schema_extra=neutral(True),
    )
    assets: NameTuple = Field(default=(), description="only catalysts about one of these coins; overlaps count all")
    kinds: NameTuple = Field(default=(), description="only catalysts of one of these kinds; overlaps count all")
    actors: NameTuple = Field(default=(), description="only catalysts of one of these actors; overlaps count all")

    @field_validator("benchmarks", "after", "groups", "calls")
    @classmethod
    def _once(cls, values: NameTuple) -> NameTuple:
        twice = next((one for one in values if values.count(one) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} is given twice: keep one")
        return values

    def hash(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON."""
        return hash_of(self)

    def windows(self, bar_ms: int) -> Windows:
        """The windows in bars of the event axis; too many or no whole bars raise `UsageError`."""
        estimation = self.estimation or ("14d" if bar_ms < DAY_MS else "30d")
        windows = Windows(
            estimation=whole_bars("estimation", estimation, bar_ms),
            gap=whole_bars("gap", self.gap, bar_ms, least=0),
            first=-whole_bars("before", self.before, bar_ms),
            last=max(whole_bars("after", one, bar_ms) for one in self.after),
        )
        event, whole = windows.last - windows.first, windows.estimation + windows.gap
        if event > MOST_EVENT_BARS or whole > MOST_ESTIMATION_BARS:
            raise UsageError(
                f"event window of {event:,} bars and estimation with gap of {whole:,} are more than "
                f"{MOST_EVENT_BARS:,} and {MOST_ESTIMATION_BARS:,}: shorten them or study a longer timeframe"
            )
        return windows

    def minimum(self, windows: Windows) -> int:
        """Fewest usable estimation bars.

        Raises
        ------
        UsageError
            Where the estimation window holds fewer bars than that.
        """
        minimum = self.minimum_estimation or max(-(-windows.estimation // 2), 5)
        if minimum > windows.estimation:
            raise UsageError(
                f"estimation window of {windows.estimation} bars holds fewer than minimum_estimation {minimum}: "
                "lengthen the one or lower the other"
            )
        return minimum

    def span_names(self) -> NameTuple:
        """run_up, announcement, then after_1d and so on."""
        return ("run_up", "announcement", *(f"after_{one}" for one in self.after))

    def spans(self, bar_ms: int) -> Ints:
        """(V, 2) first and last bar of each named span."""
        before = whole_bars("before", self.before, bar_ms)
        ends = [whole_bars("after", one, bar_ms) for one in self.after]
        return np.array([(-before, -1), (0, 0), *((1, end) for end in ends)], dtype=np.int64)
