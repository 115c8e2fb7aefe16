"""The reference page of file formats: what a file that people write or bring may hold, from the code that reads it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_PLAIN = re.compile(r"^(\w[\w, ]*?) : (.+)$")
Table = Callable[[tuple[str, ...], list[tuple[str, ...]]], str]


def attributes(record: type) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each attribute that a record's docstring tells of."""
    text = inspect.cleandoc(record.__doc__ or "").partition("Attributes\n----------\n")[2]
    text = re.split(r"\n\n\w+\n-+\n", text)[0]
    rows: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        if line.startswith("    "):
            name, kind, meaning = rows[-1]
            rows[-1] = (name, kind, f"{meaning} {line.strip()}".strip())
        elif found := _PLAIN.match(line):
            rows.append((", ".join(f"`{one}`" for one in found[1].split(", ")), found[2], ""))
    return rows


def keys(model: Any) -> list[tuple[str, str, str]]:
    """Name, type and default of each key of a model."""
    rows = []
    for name, rule in model.model_json_schema()["properties"].items():
        field = model.model_fields[name]
        kind = (
            rule.get("type") or " or ".join(str(one.get("type", "table")) for one in rule.get("anyOf", ())) or "table"
        )
        allowed = ", ".join(map(str, rule.get("enum", ())))
        default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        rows.append((f"`{name}`", allowed or kind.replace("array", "list"), default))
    return rows


def formats_page(table: Table) -> str:
    """Bars, calendars, series, claims, recipes, search spaces and workspaces."""
    from backtest.catalysts import rows
    from backtest.catalysts.claims import Claim
    from backtest.catalysts.record import ENDOGENOUS, KINDS, Catalyst
    from backtest.market import auxiliary, files, profiles
    from backtest.market.recipe import ExchangeChoice, Recipe, Window
    from backtest.request.workspace import Workspace
    from backtest.scoring.space import SpaceTable

    head = ("key", "type or allowed", "default")
    programs = [
        (one.name, ", ".join(f"`{name}`" for name in sorted(one.has)), one.refuse or "read")
        for one in profiles.PROGRAMS
    ]
    names = [(f"`{meaning}`", ", ".join(f"`{one}`" for one in said)) for meaning, said in profiles.NAMES.items()]
    kinds = [(f"`{one}`", "yes" if one in ENDOGENOUS else "") for one in sorted(KINDS)]
    layouts = inspect.cleandoc(files.__doc__ or "").partition("\n\n")[2]
    series = inspect.cleandoc(auxiliary.__doc__ or "")
    parts = (
        "# File formats\n",
        "What people write or bring. What the tool writes is under [documents and schemas](documents.md).\n",
        f"## Bars, funding and open interest in a folder\n\n{_literal(layouts)}\n",
        "## Files of other programs\n\n`backtest data import FILE` knows these exports by their columns, and reads any "
        "other by the names below (`--map time=NAME` says others).\n",
        table(("program", "columns", "answer"), programs),
        table(("meaning", "names, in any case"), names),
        f"## Calendar\n\nTOML with a `[[catalyst]]` table each, or CSV. {_prose(rows.__doc__)}\n",
        table(("key", "type", "meaning"), attributes(Catalyst)),
        "Kinds of this project; others are declared in `extra_kinds`. A move of the price itself is left out of "
        "inference unless `--endogenous`.\n",
        table(("kind", "a move of the price itself"), kinds),
        f"## Auxiliary series\n\n{series}\n\nCSV with the header `available_at,value`, in order of time.\n",
        f"## Claims\n\nTOML with a `[[claim]]` table each.\n\n{table(('key', 'type', 'meaning'), attributes(Claim))}",
        f"## Recipe\n\nWhat `backtest fetch FILE` downloads. {_prose(Recipe.__doc__)}\n\n{table(head, keys(Recipe))}",
        f"`[exchange]`: {_prose(ExchangeChoice.__doc__)}\n\n{table(head, keys(ExchangeChoice))}",
        f"`[[windows]]`: {_prose(Window.__doc__)}\n\n{table(head, keys(Window))}",
        f"## Search space\n\nThe file of `--space`. {_prose(SpaceTable.__doc__)}\n\n{table(head, keys(SpaceTable))}",
        f"## Workspace\n\n`backtest.toml` in the folder you are in. {_prose(Workspace.__doc__)}\n\n"
        f"{table(head, keys(Workspace))}",
    )
    return "\n".join(parts)


def _prose(text: str | None) -> str:
    return inspect.cleandoc(text or "").replace("``", "`")


def _literal(text: str) -> str:
    """A docstring whose indented lines are a block of text."""
    return re.sub(r"((?:^    .*\n)+)", lambda found: f"```text\n{inspect.cleandoc(found[1])}\n```\n", text, flags=re.M)
