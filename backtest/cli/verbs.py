"""Which verbs there are, how a group of them is listed, and how it refuses what it cannot parse."""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from backtest.cli.as_is import build_when_needed
from backtest.cli.usage import plain_usage

_WHOLE = 1_000
VERBS = {
    "run": "run",
    "why": "why",
    "detail": "detail",
    "sweep": "sweep",
    "walkforward": "walkforward",
    "study": "study",
    "fetch": "fetch",
    "audit": "audit",
    "report": "report",
    "compare": "compare",
    "serve": "serve",
    "schema": "print_schema",
    "doctor": "doctor",
    "data": "app",
    "events": "app",
    "strategies": "app",
    "baseline": "app",
    "ledger": "app",
}
"""Each verb in the order in which it is listed, with its name in the module of its own; `app` is a group of verbs."""


class Verbs(TyperGroup):
    """A group that lists each verb with its whole sentence, on several lines where it needs them."""

    def sentences(self, ctx: Any) -> list[tuple[str, str]]:
        """Each verb with the first paragraph of its help, in the order in which they were added."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, verb.get_short_help_str(_WHOLE)) for name, verb in verbs if verb]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs with what they do."""
        with formatter.section("Commands"):
            formatter.write_dl(self.sentences(ctx))

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse, with every complaint as one sentence."""
        with plain_usage():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse and run a verb, with every complaint as one sentence."""
        with plain_usage():
            return super().invoke(ctx)


class LazyVerbs(Verbs):
    """All verbs of the program, each made when it is asked for: to make all takes longer than to list the catalysts."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._made: dict[str, Any] = {}

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse what stands before the verb."""
        # Here and not at the start: typer adds options to a group that is made.
        build_when_needed(self)
        return super().make_context(*arguments, **extra)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Names of the verbs."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The verb of this name; None where there is none."""
        if cmd_name in VERBS and cmd_name not in self._made:
            alone, verb = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False), _written(cmd_name)
            if isinstance(verb, typer.Typer):
                alone.add_typer(verb, name=cmd_name)
            else:
                alone.command(cmd_name)(verb)
            self._made[cmd_name] = typer.main.get_group(alone).commands[cmd_name]
            made = self._made[cmd_name]
            for one in (made, *getattr(made, "commands", {}).values()):
                build_when_needed(one)
        return self._made.get(cmd_name)

    def sentences(self, ctx: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Each verb with the first paragraph of its help, for which none has to be made."""
        return [(name, _sentence(_written(name))) for name in VERBS]

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """Every verb by its name, for whoever walks through all of them."""
        return {name: self.get_command(None, name) for name in VERBS}

    @commands.setter
    def commands(self, given: MutableMapping[str, Any]) -> None:
        """The parser sets those that it was given, which are none."""


def _written(name: str) -> Any:
    """The function of a verb, or the group of verbs that it is."""
    return getattr(import_module(f"backtest.cli.{name}"), VERBS[name])


def _sentence(verb: Any) -> str:
    text = verb.info.help if isinstance(verb, typer.Typer) else verb.__doc__
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())
