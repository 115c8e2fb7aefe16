"""Recipes: a written description of a download, so that one command fetches the same data again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from backtest.base.documents import build, datasets_root, read_json, read_toml, user_path
from backtest.base.errors import BacktestError, ConfigError, MarketError, UsageError, near_miss, shortened
from backtest.base.fields import Duration, Milliseconds
from backtest.base.locks import LOCK_SECONDS, locked
from backtest.base.units import TimeRange, parse_timerange, timeframe_ms
from backtest.market.record import Instrument
from backtest.market.rows import DEFAULT_SERIES, SeriesName, replace_file
from backtest.market.spans import Span, merged

DatasetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,60}$")]
"""Name of a stored dataset: it names a file, so it must not contain a folder."""


class ExchangeChoice(BaseModel):
    """A ccxt exchange id, and any arguments of its constructor: proxies, hosts, `options`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9]{2,40}$", description="ccxt exchange id, as in bybit")
    options: dict[str, Any] = Field(default_factory=dict, description="ccxt constructor options")


class Window(BaseModel):
    """A time range of one symbol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    timerange: str

    @field_validator("symbol")
    @classmethod
    def _known_form(cls, symbol: str) -> str:
        return str(_quietly(lambda: Instrument.parse(symbol)).symbol)

    @field_validator("timerange")
    @classmethod
    def _has_both_ends(cls, timerange: str) -> str:
        span = _quietly(lambda: parse_timerange(timerange))
        if span.start_ms is None or span.end_ms is None:
            raise ValueError(f"timerange {timerange!r} of a window is open: write 2025-11-01T05:00Z/2025-11-01T06:00Z")
        return timerange


class Recipe(BaseModel):
    """What to download, from where, over which time; an unknown key is an error.

    For a symbol with `windows` only these are fetched, within `timerange`; for one without, all of it.
    With `unlisted = "skip"` a symbol that the venue does not list is named and left out, otherwise it is an error.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: DatasetName
    description: str = ""
    exchange: ExchangeChoice
    symbols: tuple[str, ...] = Field(min_length=1)
    series: tuple[SeriesName, ...] = Field(DEFAULT_SERIES, min_length=1)
    timeframe: str = "1h"
    timerange: str
    unlisted: Literal["error", "skip"] = "error"
    windows: tuple[Window, ...] = ()

    @field_validator("symbols")
    @classmethod
    def _known_form(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(one.symbol for one in _quietly(lambda: [Instrument.parse(name) for name in symbols]))
        )

    @field_validator("timeframe")
    @classmethod
    def _whole_length(cls, timeframe: str) -> str:
        _quietly(lambda: timeframe_ms(timeframe))
        return timeframe

    @field_validator("timerange")
    @classmethod
    def _has_start(cls, timerange: str) -> str:
        if _quietly(lambda: parse_timerange(timerange)).start_ms is None:
            raise ValueError(f"timerange {timerange!r} has no start: write 20250815-20251201 or 20250815-")
        return timerange

    @model_validator(mode="after")
    def _windows_of_its_symbols(self) -> Self:
        for window in self.windows:
            if window.symbol not in self.symbols:
                raise ValueError(
                    f"windows: {window.symbol} is not among symbols; {near_miss(window.symbol, self.symbols)}"
                )
        return self

    @property
    def span(self) -> TimeRange:
        """Start and end of `timerange`, milliseconds."""
        return parse_timerange(self.timerange)

    def spans_of(self, symbol: str) -> tuple[Span, ...]:
        """Windows of a symbol, milliseconds; empty if all of `timerange` is wanted."""
        ranges = (parse_timerange(one.timerange) for one in self.windows if one.symbol == symbol)
        return merged((one.start_ms or 0, one.end_ms or 0) for one in ranges)


class StoredDataset(BaseModel):
    """Meaning of a fetched name: series of the store, and the time range in which they are read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: DatasetName
    venue: str
    symbols: tuple[str, ...]
    series: tuple[SeriesName, ...]
    timeframe: Duration
    start_ms: Milliseconds
    end_ms: Milliseconds | None

    def write(self, root: Path) -> None:
        """Register the name in the store at `root`; raises `MarketError` if it cannot be written."""
        path = dataset_path(root, self.name)
        document = (json.dumps(self.model_dump(mode="json"), indent=1) + "\n").encode()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent / "lock", LOCK_SECONDS):
                for left in path.parent.glob(f".{path.name}.*.partial"):
                    left.unlink()
                replace_file(path, document)
        except OSError as problem:
            raise MarketError(f"{path} cannot be written ({problem}): choose another `store`") from None


def dataset_path(root: Path, name: str) -> Path:
    """File in which the store keeps the meaning of a fetched name."""
    return root / "datasets" / f"{name}.json"


def embedded_recipes() -> tuple[str, ...]:
    """Names of the recipes that come with the project."""
    return tuple(sorted(path.stem for path in (datasets_root() / "recipes").glob("*.toml")))


def open_recipe(name_or_file: str) -> Recipe:
    """Recipe by its embedded name, or from a TOML file.

    Raises
    ------
    UsageError
        If it is neither a name nor a file.
    ConfigError
        If a key is unknown, missing or out of range.
    """
    if name_or_file in embedded_recipes():
        path = datasets_root() / "recipes" / f"{name_or_file}.toml"
    else:
        path = user_path(name_or_file)
        if not os.path.lexists(path):
            raise UsageError(
                f"recipe {shortened(name_or_file)} is neither a file nor an embedded recipe; "
                f"{near_miss(name_or_file, embedded_recipes())}"
            )
    return build(Recipe, read_toml(path, ConfigError), f"recipe {path}")


def merged_deep(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged key by key, `over` wins; anything that is not a table is replaced completely."""
    result = dict(base)
    for name, value in over.items():
        inner = result.get(name)
        result[name] = merged_deep(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result


def read_exchange_config(path: Path) -> dict[str, Any]:
    """Ccxt constructor options from a JSON file.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not a JSON object.
    """
    values = read_json(path, ConfigError)
    if not isinstance(values, dict):
        raise ConfigError(f"`exchange_config` {path} holds a {type(values).__name__}: write an object of ccxt options")
    return values


def _quietly(read: Any) -> Any:
    """The result; errors of this project are turned into those that pydantic collects."""
    try:
        return read()
    except BacktestError as error:
        raise ValueError(str(error)) from None
