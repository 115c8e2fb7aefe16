"""Run configuration, and the units it is written in.

Time inside the project is int64 milliseconds since 1970-01-01 UTC (ccxt's unit). This module reads the
forms people type: ccxt timeframes (`1h`), durations (`90m`, `3d`), ISO instants and time ranges.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import stat
import tomllib
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from backtest.errors import BacktestError, ConfigError, DataError, UsageError

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY_MS = UNIT_MS["d"]
LONGEST_MS = 36_500 * DAY_MS
FIRST_YEAR, LAST_YEAR = 1970, 2100
LARGEST_TEXT, LARGEST_TOML = 256 * 2**20, 16 * 2**20
DEEPEST = 32
_LONGEST_SHOWN, _LONGEST_PATH = 80, 400
_DOTTED = re.compile(r"(?:[^\s=.,]{1,80}\s{0,9}\.\s{0,9}){65}")
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)


def duration_ms(text: str) -> int:
    """Milliseconds of a duration or ccxt timeframe: a whole number and one of s, m, h, d, w.

    Raises
    ------
    UsageError
        If `text` has another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{shortened(text)} is not a duration: write a whole number and one of s m h d w, as in 90m, 1h or 3d"
        )
    milliseconds = int(match[1]) * UNIT_MS[match[2]]
    if milliseconds > LONGEST_MS:
        raise UsageError(f"duration {text!r} is longer than {LONGEST_MS // DAY_MS} days: shorten it")
    return milliseconds


def timeframe_ms(text: str) -> int:
    """Milliseconds of one bar of a ccxt timeframe; months have no fixed length and are refused."""
    milliseconds = duration_ms(text)
    if milliseconds <= 0:
        raise UsageError(f"timeframe {text!r} has no length: use 1m, 5m, 1h, 4h, 1d or another ccxt timeframe")
    return milliseconds


def to_ms(moment: datetime) -> int:
    """Milliseconds UTC of an aware datetime, exact; a naive one raises `UsageError`."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment.isoformat()} has no time zone: add Z for UTC or an offset such as +02:00")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def from_ms(milliseconds: int) -> datetime:
    """UTC datetime of milliseconds since 1970; one beyond the years 1 to 9999 raises `UsageError`."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(milliseconds))
    except OverflowError:
        raise UsageError(
            f"{shortened(int(milliseconds))} is no time in milliseconds since 1970: check dates and durations"
        ) from None


def format_ms(milliseconds: int) -> str:
    """`YYYY-MM-DD HH:MM` in UTC, with seconds only where they are not zero."""
    moment = from_ms(milliseconds)
    return moment.strftime("%Y-%m-%d %H:%M" if moment.second == 0 else "%Y-%m-%d %H:%M:%S")


class TimeRange(NamedTuple):
    """Half-open range [start_ms, end_ms); None is unbounded."""

    start_ms: int | None
    end_ms: int | None


def parse_timerange(text: str) -> TimeRange:
    """Read `20250901-20251116` (end exclusive, either side may be empty) or two ISO instants joined by `/`.

    Raises
    ------
    UsageError
        If a side is not a date, or the end is not after the start.
    """
    parts = text.split("/") if "/" in text else text.split("-") if text.count("-") == 1 else []
    if len(parts) != 2 or not any(parts):
        raise UsageError(
            f"timerange {shortened(text)} is not START-END: write 20250901-20251116 (end exclusive), "
            "20250901- or 2025-09-01/2025-11-16T12:00Z"
        )
    start, end = (_instant_ms(part) if part else None for part in parts)
    if start is not None and end is not None and end <= start:
        raise UsageError(f"timerange {text!r} is empty: its end must be after its start")
    return TimeRange(start, end)


def _instant_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{shortened(text)} is not a date: write 20250901, 2025-09-01 or 2025-09-01T12:00Z") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise UsageError(f"{text!r} is not between {FIRST_YEAR} and {LAST_YEAR}: check the year")
    dated_only = "T" not in text and " " not in text
    return to_ms(moment.replace(tzinfo=UTC) if dated_only and moment.tzinfo is None else moment)


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """Text for an unknown `name`: the one it begins or comes closest to, then all that are allowed."""
    names, name = sorted(allowed), name[:_LONGEST_SHOWN]
    begun = [one for one in names if name and one.startswith(name)]
    close = begun or difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names) or 'none'}"


def _duration_text(text: str) -> str:
    try:
        duration_ms(text)
    except UsageError as error:
        raise ValueError(str(error)) from None
    return text


Duration = Annotated[str, AfterValidator(_duration_text)]
Milliseconds = Annotated[int, Field(ge=0, lt=4_133_980_800_000)]
"""Time in milliseconds UTC from 1970 to 2100, as stored files give it."""
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class RunConfig(BaseModel):
    """How a strategy is replayed: capital, costs, portfolio rules. Frozen; an unknown key is an error.

    Rates are fractions (0.0005 is 5 basis points), money is in the quote currency, durations are text (`7d`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    capital: Annotated[float, Field(ge=1e-6, le=1e15)] = Field(100_000.0, description="starting equity, quote currency")
    fee_rate: Share = Field(0.0005, description="taker fee, share of notional")
    half_spread: Annotated[float, Field(ge=0, lt=0.5)] = Field(
        0.0005, description="half the bid-ask spread, share of price"
    )
    impact: NonNegative = Field(1.0, description="Y in Y * sigma * sqrt(notional / ADV)")
    liquidity_window: Duration = Field("7d", description="trailing window of sigma and ADV")
    participation: Annotated[float, Field(gt=0)] = Field(
        0.1, description="most of one trailing bar's volume that a fill may take; inf for no cap"
    )
    leverage: Annotated[float, Field(ge=1, le=200)] = Field(1.0, description="notional / isolated margin")
    gross_cap: Positive = Field(1.0, description="most gross notional / equity")
    maintenance_margin: Share = Field(0.02, description="of notional; below it a swap is liquidated")
    liquidation_fee: Share = Field(0.0125, description="of notional, paid at liquidation")
    funding_unknown: Literal["error", "zero", "const"] = Field(
        "const", description="where a swap's funding is not known"
    )
    funding_const: NonNegative = Field(
        0.0001, description="rate per 8 h charged against the position under `const`, long or short"
    )
    in_position: Literal["ignore", "extend"] = Field("ignore", description="a new intent while in position")
    reaction: Duration = Field("0m", description="from decision to the order reaching the market")
    max_wait: Duration = Field("24h", description="longest wait for a bar to fill on")
    stop_order: Literal["pessimistic", "optimistic"] = Field(
        "pessimistic", description="which side of a bar is visited first"
    )
    seed: int = Field(20251101, description="seed of every random draw")

    def hash(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


Model = TypeVar("Model", bound=BaseModel)


def build(model: type[Model], values: dict[str, Any], what: str) -> Model:
    """`model(**values)` with pydantic's complaints turned into one sentence about `what`.

    Raises
    ------
    ConfigError
        Naming the first offending key, its value and what is allowed.
    """
    try:
        return model(**values)
    except ValidationError as error:
        raise ConfigError(f"{what}: {first_complaint(error, model.model_fields)}") from None


def first_complaint(error: ValidationError, allowed: Iterable[str]) -> str:
    """One clause for the first of pydantic's errors: key, value received, what is allowed."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    first = min(error.errors(include_url=False), key=lambda one: one["type"] not in unknown)
    key = ".".join(str(part) for part in first["loc"]) or "the table"
    if first["type"] in unknown:
        return f"unknown key {shortened(key)}; {near_miss(str(first['loc'][-1]), allowed)}"
    if first["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"key {shortened(key)} is missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    return f"{key[:_LONGEST_SHOWN]} = {shortened(first['input'])}: {message[0].lower()}{message[1:]}"


def shortened(value: object) -> str:
    """The value as Python writes it, cut where it is long: what a message may show of it."""
    if isinstance(value, int) and value.bit_length() > 256:
        return "a whole number of more than 77 digits"
    text = repr(value[: _LONGEST_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def datasets_root() -> Path:
    """Folder of the data that comes with the project: inside the installed package, else the checkout's `datasets/`.

    Raises
    ------
    DataError
        Where neither exists.
    """
    package = Path(__file__).parent
    for folder in (package / "_datasets", package.parent / "datasets"):
        if folder.is_dir():
            return folder
    raise DataError(f"no datasets at {package / '_datasets'} or {package.parent / 'datasets'}: reinstall the package")


def user_path(text: str) -> Path:
    """Path that a user typed, `~` read as a home folder; one that nobody has raises `UsageError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"path {shortened(text)} begins with the home folder of nobody here: write it out") from None


def read_whole(path: Path, error: type[BacktestError], most: int = LARGEST_TEXT) -> bytes:
    """Bytes of a regular file of at most `most` bytes; every failure becomes `error` with the file named.

    A folder, pipe or device is refused unread: it may have no end.
    """
    shown = path if len(str(path)) < _LONGEST_PATH else shortened(str(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{shown} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'a pipe or device'}: name a file")
        if status.st_size > most:
            raise error(f"{shown} has {status.st_size:,} bytes, at most {most:,} are read: split it")
        return path.read_bytes()
    except FileNotFoundError:
        raise error(f"{shown} does not exist: check the path") from None
    except (OSError, ValueError) as problem:
        raise error(f"{shown} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None


def _text_of(path: Path, error: type[BacktestError], most: int = LARGEST_TEXT) -> str:
    data = read_whole(path, error, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise error(
            f"{path} line {line}: byte {data[problem.start]:#04x} is not UTF-8 text: save the file as UTF-8"
        ) from None


def read_toml(path: Path, error: type[BacktestError], keys: Collection[str] | None = None) -> dict[str, Any]:
    """Parse a TOML file; every failure becomes `error` with the file named, a key that is none of `keys` too."""
    text = _text_of(path, error, LARGEST_TOML)
    # The time that a dotted key takes grows with the square of its parts.
    if _DOTTED.search(text):
        raise error(f"{path} has a key of more than 64 parts: flatten it")
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise error(f"{path} nests deeper than {DEEPEST} levels: flatten it") from None
    except ValueError as problem:
        raise error(f"{path} is not valid TOML: {str(problem)[:300]}") from None
    _check_depth(table, path, error)
    if keys is not None:
        for key in table:
            if key not in keys:
                raise error(f"{path}: unknown key {shortened(key)}; {near_miss(key, keys)}")
    return table


def read_json(path: Path, error: type[BacktestError]) -> Any:
    """Parse a JSON file strictly; every failure becomes `error` with the file named.

    NaN and infinities, which are no JSON, and a key that stands twice are failures too.
    """
    text = _text_of(path, error)
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise error(f"{path} nests deeper than {DEEPEST} levels: flatten it") from None
    except ValueError as problem:
        raise error(f"{path} cannot be read as JSON: {str(problem)[:300]}") from None
    _check_depth(value, path, error)
    return value


def table_of(value: Any, path: Path, error: type[BacktestError]) -> dict[str, Any]:
    """The value of a JSON file if it is an object; anything else raises `error` with the file named."""
    if not isinstance(value, dict):
        raise error(f"{path} holds a {type(value).__name__}, not an object of keys: write it again")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"key {shortened(name)} stands twice")
        table[name] = value
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _check_depth(value: Any, path: Path, error: type[BacktestError]) -> None:
    """Refuse what Python's own functions, which call themselves for each level, could not walk through."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise error(f"{path} nests deeper than {DEEPEST} levels: flatten it")


def load_config(path: Path | None = None, /, **overrides: Any) -> RunConfig:
    """RunConfig from an optional TOML file, then `overrides` on top."""
    values = read_toml(path, ConfigError) if path is not None else {}
    return build(RunConfig, {**values, **overrides}, f"configuration {path}" if path else "configuration")
