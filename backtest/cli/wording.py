"""Rewords messages that name a setting for users who type options."""

from __future__ import annotations

import re
from functools import cache

import typer

_NAMED = re.compile(r"`([a-z_]+)(?:[ =]([^`]*))?`")
_SHORT = {"strategy": "-s", "param": "-p", "funding_unknown": "--funding"}
"""Options that everybody types by their letter, and those that are named apart: found without asking every verb."""
_APPS: list[typer.Typer] = []


def as_typed(text: str) -> str:
    """The text with every setting in backquotes as its option: `out` as --out, `max_wait=2h` as --set max_wait=2h.

    Below the command line a message names a setting by its name, since a notebook has no options.
    """
    return _NAMED.sub(_option, text) if "`" in text else text


def _option(match: re.Match[str]) -> str:
    name, value = match.groups()
    options, settings = (_SHORT, frozenset[str]()) if name in _SHORT else _known()
    if name in options:
        return f"{options[name]} {value}" if value else options[name]
    if name in settings:
        return f"--set {name}={value}" if value else f"--set {name}"
    return match[0]


def register(app: typer.Typer) -> None:
    """Register the verbs whose options are named."""
    _APPS.append(app)


@cache
def _known() -> tuple[dict[str, str], frozenset[str]]:
    """Options of all verbs by their names, and the settings of a run, which `--set` takes."""
    from backtest.base.config import RunConfig

    def walk(command: object) -> None:
        for one in getattr(command, "params", ()):
            for option in one.opts:
                if option.startswith("--"):
                    options[option[2:].replace("-", "_")] = option
        for verb in getattr(command, "commands", {}).values():
            walk(verb)

    options: dict[str, str] = {}
    for app in _APPS:
        walk(typer.main.get_command(app))
    return options, frozenset(RunConfig.model_fields)
