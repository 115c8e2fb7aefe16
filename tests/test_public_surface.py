"""What `import backtest` offers: documented, complete in itself, and loaded when it is used."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import backtest
from backtest.base import errors

KERNEL = {"Orders"}
"""Arrays for the compiled kernel, which `Prepared` makes and takes: nobody builds them by hand."""


@pytest.mark.parametrize("name", backtest.__all__)
def test_every_name_has_a_docstring_of_its_own(name: str) -> None:
    thing = getattr(backtest, name)
    told = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    assert told
    # What a dataclass or a named tuple writes by itself says nothing.
    assert not re.match(rf"{name}\(", told)


def signatures(name: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The public functions of a name: itself, or a class's methods and properties."""
    thing = getattr(backtest, name)
    if inspect.isfunction(thing):
        yield name, thing
    for key, value in vars(thing).items() if inspect.isclass(thing) else ():
        own = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(own) and not key.startswith("_"):
            yield f"{name}.{key}", own


def unreachable(function: Callable[..., Any], offered: set[str]) -> set[str]:
    """Classes of this package in the signature of a function that are not among the names offered."""
    ours = {
        key
        for module in list(sys.modules.values())
        if module.__name__.startswith("backtest.")
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__.startswith("backtest.")
    }
    named = re.compile(r"(?<!pd\.)\b[A-Z]\w+")
    words = {word for text in function.__annotations__.values() for word in named.findall(str(text))}
    return (words & ours) - offered


def test_nothing_in_a_public_signature_is_out_of_reach() -> None:
    offered = set(backtest.__all__)
    found = [(title, function) for name in backtest.__all__ for title, function in signatures(name)]
    assert len(found) > 60
    missing = {title: unreachable(function, offered | KERNEL) for title, function in found}
    assert {title: names for title, names in missing.items() if names} == {}
    assert unreachable(backtest.evaluate, offered - {"RunConfig"}) == {"RunConfig"}


def test_every_error_can_be_caught_by_name() -> None:
    kinds = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(kinds) > 7
    assert set(kinds) <= set(backtest.__all__)


def test_dir_shows_what_is_offered_and_no_machinery() -> None:
    assert dir(backtest) == sorted([*backtest.__all__, "__version__"])


def test_a_name_loads_its_own_module_and_no_room_above() -> None:
    code = "import sys, backtest; backtest.Calendar; print(*(n for n in sys.modules if n.startswith('backtest.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert "catalysts" in rooms
    assert rooms.isdisjoint(
        {
            "market",
            "signals",
            "engine",
            "study",
            "scoring",
            "baseline",
            "session",
            "request",
            "report",
            "testing",
            "cli",
        }
    )
