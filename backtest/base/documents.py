"""Documents that people and other programs wrote, read strictly: TOML, JSON, and pydantic models built of them."""

from __future__ import annotations

import json
import re
import stat
import tomllib
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic_core import ValidationError

from backtest.base.errors import LONGEST_SHOWN, BacktestError, ConfigError, DataError, UsageError, near_miss, shortened

if TYPE_CHECKING:
    from pydantic import BaseModel

LARGEST_TEXT, LARGEST_TOML = 256 * 2**20, 16 * 2**20
DEEPEST = 32
_LONGEST_PATH = 400
_PART = r"""(?>"(?>[^"\\\n]|\\.){0,80}+"|'[^'\n]{0,80}+'|[A-Za-z0-9_-]{1,80}+)"""
_DOTTED = re.compile(rf"(?<![A-Za-z0-9_-])(?>{_PART}[ \t]{{0,9}}+\.[ \t]{{0,9}}+){{65}}")

PATTERNS = {
    r"^[A-Z0-9]{1,20}$": "a coin is written in capital letters and digits, as in ZEC",
    r"^[a-z][a-z0-9_]{1,40}$": "a kind is written in lower-case letters, digits and underscores, as in trust_relaunch",
    r"^[a-z0-9][a-z0-9-]{2,80}$": "an id has 3 to 81 lower-case letters, digits and hyphens, as in zec-2025-11-06-okx",
}
"""What a pattern allows, in words."""

Model = TypeVar("Model", bound="BaseModel")
Class = TypeVar("Class", bound=type)


def build(model: type[Model], values: dict[str, Any], what: str) -> Model:
    """A model of `values`, with pydantic's complaints turned into one sentence about `what`.

    Raises
    ------
    ConfigError
        Naming the first offending key, its value and what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{what}: {first_complaint(error, model.model_fields)}") from None


def worded(what: str, error: type[BacktestError]) -> Callable[[Class], Class]:
    """Decorator of a pydantic model or `validated` dataclass: a call raises `error` with one sentence about `what`.

    Documents are validated, not called: their readers word the complaint with the name of the file.
    """

    def decorate(model: Class) -> Class:
        plain = model.__init__  # type: ignore[misc]

        own = vars(model)
        fields: Iterable[str] = own["__pydantic_fields__" if "__pydantic_fields__" in own else "__dataclass_fields__"]

        @wraps(plain)
        def call(self: Any, /, *values: Any, **named: Any) -> None:
            try:
                plain(self, *values, **named)
            except ValidationError as problem:
                raise error(f"{what}: {first_complaint(problem, fields)}") from None

        model.__init__ = call  # type: ignore[misc]
        return model

    return decorate


def first_complaint(error: ValidationError, allowed: Iterable[str]) -> str:
    """One clause for the first of pydantic's errors, an unknown key before any other."""
    return complaints(error, allowed)[0]


def complaints(error: ValidationError, allowed: Iterable[str]) -> list[str]:
    """One clause for each of pydantic's errors, unknown keys first: key, value received, what is allowed."""
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    names = list(allowed)
    told = sorted(error.errors(include_url=False), key=lambda one: one["type"] not in unknown)
    return [_complaint(dict(one), one["type"] in unknown, names) for one in told]


def complaint_of(error: ValidationError) -> str:
    """The first of pydantic's errors of a lone value: the value received, and what is allowed."""
    one = dict(error.errors(include_url=False)[0])
    return f"{shortened(one['input'])}: {_said(one)}"


def _said(one: dict[str, Any]) -> str:
    message = _plainly(one["type"], dict(one.get("ctx", {})), one["msg"].removeprefix("Value error, "))
    return f"{message[0].lower()}{message[1:]}"


def _complaint(one: dict[str, Any], unknown: bool, allowed: list[str]) -> str:
    # Which of several values it is says the value; its number is nobody's.
    key = ".".join(str(part) for part in one["loc"] if not isinstance(part, int)) or "the table"
    if unknown:
        return f"unknown key {shortened(key)}; {near_miss(str(one['loc'][-1]), allowed)}"
    if one["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"key {shortened(key)} is missing; add it"
    if not one["loc"] and one["type"] == "value_error":
        return _said(one)  # of several values together, which the sentence names itself
    return f"{key[:LONGEST_SHOWN]} = {shortened(one['input'])}: {_said(one)}"


def _plainly(kind: str, context: dict[str, Any], message: str) -> str:
    """Pydantic's complaint about a value, worded for whoever typed it; a pattern is given as what it allows."""
    bounds = {"greater_than_equal": "at least {ge}", "greater_than": "above {gt}", "less_than_equal": "at most {le}",
              "less_than": "below {lt}"}  # fmt: skip
    if kind in bounds:
        numbers = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
        return f"must be {bounds[kind].format(**numbers)}"
    if kind in ("float_parsing", "int_parsing", "float_type", "int_type", "int_from_float"):
        return f"must be a {'whole ' if kind.startswith('int') else ''}number"
    if kind in ("bool_parsing", "bool_type"):
        return "must be true or false"
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    return message


def datasets_root() -> Path:
    """Folder of the data shipped with the project: inside the installed package, otherwise the checkout's `datasets/`.

    Raises
    ------
    DataError
        Where neither exists.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_datasets", package.parent / "datasets"):
        if folder.is_dir():
            return folder
    raise DataError(f"no datasets at {package / '_datasets'} or {package.parent / 'datasets'}: reinstall the package")


def user_path(text: str) -> Path:
    """Path as typed by a user, with `~` expanded to the home folder; an unknown home folder raises `UsageError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"path {shortened(text)} is in the home folder of an unknown user: write it out") from None


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
    """Parse a TOML file; every failure, a key outside `keys` included, becomes `error` with the file named."""
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

    NaN and infinities, which are not JSON, and a duplicate key are failures too.
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
            raise ValueError(f"duplicate key {shortened(name)}")
        table[name] = value
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _check_depth(value: Any, path: Path, error: type[BacktestError]) -> None:
    """Refuse nesting too deep for Python's own recursive functions."""
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
