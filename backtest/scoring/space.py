"""The parameters that a search tries: grids and random draws over choices and ranges."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from backtest.base.arguments import checked
from backtest.base.documents import build, read_toml
from backtest.base.errors import ConfigError, UsageError, near_miss, shortened
from backtest.base.units import UNIT_MS, duration_ms
from backtest.signals.trust import trusted_files

SearchMethod = Literal["grid", "random"]
MOST_TRIALS = 1_000_000
MOST_AMOUNT = 1e15
_RANGE = re.compile(r"(?P<low>[^./,]*(?:\.\d+)?)\.\.(?P<high>[^/,]*?)(?:/(?P<step>[^,]+))?")
_DURATION = re.compile(r"\d+[smhdw]", re.ASCII)


class SpaceTable(BaseModel):
    """A search as a TOML file describes it; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = ""
    search: str = "grid"
    trials: Annotated[int, Field(strict=True)] | None = None
    parameters: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters, as text, in the order of the axes; `number` counts from 0."""

    number: int
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """Values of one parameter: `choices`, or anything `between` two bounds (random search only)."""

    name: str
    choices: tuple[str, ...] = ()
    between: tuple[str, str] | None = None


@checked
def parse_axis(name: str, text: str) -> Axis:
    """Axis of `24h,48h,72h` (choices), `0.05..0.30/0.05` (a range in steps, ends included) or `24h..96h` (a range).

    Raises
    ------
    UsageError
        For a range whose ends or step are not numbers or durations, or whose end is below its start.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        choices = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if not choices:
            raise UsageError(f"parameter {name} has no value: write {name}=24h,48h or {name}=24h..96h/24h")
        return Axis(name, choices)
    low, high, step = match["low"], match["high"], match["step"]
    bounds = [_amount(name, text, part) for part in (low, high)]
    if len({bool(_DURATION.fullmatch(part)) for part in (low, high, step or low)}) > 1:
        raise UsageError(f"parameter {name} = {shortened(text)} mixes durations and numbers: write 24h..96h/24h")
    if bounds[1] < bounds[0]:
        raise UsageError(f"parameter {name} = {shortened(text)} ends before it starts: swap its ends")
    if step is None:
        return Axis(name, between=(low, high))
    width = _amount(name, text, step)
    if width <= 0:
        raise UsageError(f"parameter {name} = {shortened(text)} has a step of {step}: it must be above 0")
    steps = (bounds[1] - bounds[0]) / width
    if not steps < MOST_TRIALS:
        raise UsageError(f"parameter {name} = {shortened(text)} has too many values: at most {MOST_TRIALS} are allowed")
    count = math.floor(steps + 1e-9) + 1
    return Axis(name, tuple(_text(bounds[0] + place * width, (low, high, step)) for place in range(count)))


def axis_of(name: str, value: Any) -> Axis:
    """Axis of a TOML value: text as `parse_axis` reads it, an array of choices, or one number."""
    if isinstance(value, str):
        return parse_axis(name, value)
    if isinstance(value, list) and value:
        return Axis(name, tuple(dict.fromkeys(_choice(one) for one in value)))
    if isinstance(value, int | float):
        return Axis(name, (_choice(value),))
    raise ConfigError(f"parameters.{name} = {shortened(value)} must be text, a number or an array of choices")


def _choice(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_choice(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _amount(name: str, text: str, part: str) -> float:
    """A number, or a duration in milliseconds."""
    if _DURATION.fullmatch(part):
        return float(duration_ms(part))
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not abs(value) < MOST_AMOUNT:
        raise UsageError(
            f"parameter {name} = {shortened(text)} is not a range of numbers or durations: "
            "write 0.05..0.30/0.05 or 24h..96h"
        )
    return value


def _text(value: float, like: Sequence[str]) -> str:
    """A number or duration as it is typed, in the finest unit or with the most digits of those given."""
    if _DURATION.fullmatch(like[0]):
        unit = min((part[-1] for part in like), key=UNIT_MS.__getitem__)
        return f"{round(value / UNIT_MS[unit])}{unit}"
    digits = max(len(part.partition(".")[2]) for part in like)
    return f"{value:.{digits}f}" if not any("e" in part.lower() for part in like) else repr(value)


@checked
def grid_trials(axes: Sequence[Axis]) -> tuple[Trial, ...]:
    """Every combination of the choices, the last axis turning fastest.

    Raises
    ------
    UsageError
        For a range without a step, or more than a million combinations.
    """
    for axis in axes:
        if axis.between:
            low, high = axis.between
            raise UsageError(
                f"parameter {axis.name} = '{low}..{high}' has no step: add one as {low}..{high}/STEP, or search at "
                "random"
            )
    count = math.prod(len(axis.choices) for axis in axes)
    if count > MOST_TRIALS:
        raise UsageError(f"the grid has {count} trials, at most {MOST_TRIALS} are allowed: search at random")
    names = [axis.name for axis in axes]
    combinations = product(*(axis.choices for axis in axes))
    return tuple(Trial(number, tuple(zip(names, one, strict=True))) for number, one in enumerate(combinations))


@checked
def random_trials(axes: Sequence[Axis], count: int, seed: int) -> tuple[Trial, ...]:
    """`count` different combinations drawn uniformly; fewer if a hundred draws in a row brought nothing new.

    A range of whole numbers or durations is drawn in whole steps of its finest unit, any other with four digits.
    """
    if not 1 <= count <= MOST_TRIALS:
        raise UsageError(f"trials = {shortened(count)} must lie between 1 and {MOST_TRIALS}")
    random = np.random.default_rng(np.random.SeedSequence([seed % 2**64, 1]))
    seen: dict[tuple[tuple[str, str], ...], None] = {}
    vain = 0
    while len(seen) < count and vain < 100:
        one = tuple((axis.name, _drawn(axis, random)) for axis in axes)
        vain = vain + 1 if one in seen else 0
        seen[one] = None
    return tuple(Trial(number, one) for number, one in enumerate(seen))


def _drawn(axis: Axis, random: np.random.Generator) -> str:
    if axis.between is None:
        return axis.choices[int(random.integers(len(axis.choices)))]
    low, high = axis.between
    if _DURATION.fullmatch(low):
        unit = min(low[-1], high[-1], key=UNIT_MS.__getitem__)
        first, last = (duration_ms(part) // UNIT_MS[unit] for part in (low, high))
        return f"{int(random.integers(first, last + 1))}{unit}"
    if low.isdecimal() and high.isdecimal():
        return str(int(random.integers(int(low), int(high) + 1)))
    return f"{random.uniform(float(low), float(high)):.4f}"


def axes_of(values: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Axes of a table of parameters, in its order."""
    return tuple(axis_of(name, value) for name, value in values.items())


@dataclass(frozen=True, slots=True)
class Space:
    """A search: a strategy by name, and the trials of its parameters."""

    strategy: str
    trials: tuple[Trial, ...]


def space_of(
    strategy: str, parameters: Mapping[str, str], file: Path | None, search: str | None, trials: int | None, seed: int
) -> Space:
    """The trials of a search, from a TOML file and from arguments; arguments win.

    Raises
    ------
    ConfigError
        For an unknown key in the file, or no parameter at all.
    UsageError
        For a search that is neither grid nor random, a number of trials for a grid, or a file that names a strategy
        file: such a file must not run code.
    """
    said = build(SpaceTable, read_toml(file, ConfigError), str(file)) if file else SpaceTable()
    named = strategy or said.strategy
    if not named:
        raise UsageError(
            "no strategy is named: write `strategy=catalyst_momentum`, or strategy = ... in the file of `space`"
        )
    if file and not strategy:
        trusted_files([named], file, (), "strategy")
    whole = {**said.parameters, **parameters}
    if not whole:
        raise UsageError("no parameter is searched: write for example `param hold=24h,48h,72h`")
    how = search or said.search
    count = trials if trials is not None else said.trials
    axes = axes_of(whole)
    if how == "grid":
        if count is not None:
            raise UsageError(f"trials = {shortened(count)} belongs to `search=random`: a grid tries every combination")
        return Space(named, grid_trials(axes))
    if how == "random":
        return Space(named, random_trials(axes, 100 if count is None else count, seed))
    raise UsageError(f"search {shortened(how)} is unknown; {near_miss(how, ('grid', 'random'))}")
