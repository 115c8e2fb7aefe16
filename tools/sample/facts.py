"""The tables that the sample is made from, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from backtest.base.documents import first_complaint, read_toml
from backtest.base.errors import MarketError
from tools.sample.paths import DAY_MS, Floats, Integers

PLAN = "plan.toml"
Level = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class Moment(_Table):
    """A level at an instant."""

    at: AwareDatetime
    level: Level


class Fall(_Table):
    """A change of the number of coins by a share over a span."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    share: Level


class Within(_Table):
    """Bounds that a price keeps over a span."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    low: Level
    high: Level


class OpenInterest(_Table):
    """Open interest of one coin: numbers of coins, notionals, and a fall between them."""

    base: str
    known: str
    coins: tuple[Moment, ...]
    notional: tuple[Moment, ...]
    fall: Fall


class Coin(_Table):
    """A coin without known days: `volatility` is a standard deviation a day, `correlation` that with every other."""

    base: str
    known: str
    volatility: Level
    correlation: Annotated[float, Field(ge=0, lt=1)]
    price: tuple[Moment, ...] = Field(min_length=2)
    turnover: tuple[Moment, ...] = Field(min_length=1)
    within: Within | None = None


class Plan(_Table):
    """Name, window and seed, and what is not known by days."""

    name: str
    source: str
    licence: str
    how_made: str
    held_against: str
    seed: int = Field(ge=0, lt=2**32)
    start: AwareDatetime
    end: AwareDatetime
    open_interest: tuple[OpenInterest, ...]
    coins: tuple[Coin, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """Facts of one instrument over D days: log prices (D,), hours of extremes (D,), turnover in USDT (D,)."""

    base: str
    spot: bool
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    hour_of_high: Integers
    hour_of_low: Integers
    turnover: Floats
    instants: dict[int, float]

    @property
    def symbol(self) -> str:
        """Unified ccxt symbol."""
        return f"{self.base}/USDT" if self.spot else f"{self.base}/USDT:USDT"


@dataclass(frozen=True, slots=True)
class Facts:
    """Every table: instruments in order, funding sums in basis points (D,) by coin, hourly moments."""

    plan: Plan
    days: tuple[Days, ...]
    funding: dict[str, Floats]
    moments: pd.DataFrame

    @property
    def start_ms(self) -> int:
        """First open, milliseconds UTC."""
        return int(self.plan.start.timestamp() * 1000)


def read_facts(folder: Path) -> Facts:
    """Facts of a folder; a malformed plan or a day that is missing raises `MarketError`."""
    path = folder / PLAN
    try:
        plan = Plan(**read_toml(path, MarketError))
    except ValidationError as error:
        allowed = {key for table in (Plan, Coin, Moment, OpenInterest) for key in table.model_fields}
        raise MarketError(f"{path}: {first_complaint(error, allowed)}") from None
    start = pd.Timestamp(plan.start)
    wanted = pd.date_range(start, pd.Timestamp(plan.end), freq="1D", inclusive="left")
    table = pd.read_csv(folder / "days.csv")
    known = pd.read_csv(folder / "instants.csv")
    days = []
    for (coin, kind), rows in table.groupby(["coin", "kind"], sort=False):
        stamps = pd.to_datetime(rows["day"], utc=True)
        if list(stamps) != list(wanted):
            raise MarketError(f"days.csv: {coin} {kind} has {len(rows)} days, {len(wanted)} are needed: add them")
        mine = known[(known["coin"] == coin) & (known["kind"] == kind)]
        hours = (pd.to_datetime(mine["at"], utc=True) - start) // pd.Timedelta("1h")
        days.append(
            Days(
                str(coin),
                kind == "spot",
                *(np.log(rows[name].to_numpy(float)) for name in ("open", "high", "low", "close")),
                rows["hour_of_high"].to_numpy(np.int64),
                rows["hour_of_low"].to_numpy(np.int64),
                rows["volume_musd"].to_numpy(float) * 1e6,
                {int(hour): float(np.log(price)) for hour, price in zip(hours, mine["price"], strict=True)},
            )
        )
    rates = pd.read_csv(folder / "funding.csv")
    funding = {str(coin): rows["rate_sum_bp"].to_numpy(float) for coin, rows in rates.groupby("coin")}
    if (rates["settlements"] != 3).any() or any(len(sums) != len(wanted) for sums in funding.values()):
        raise MarketError(f"funding.csv needs three settlements on each of {len(wanted)} days: {DAY_MS // 3} ms apart")
    return Facts(plan, tuple(days), funding, pd.read_csv(folder / "moments.csv", index_col="coin"))
