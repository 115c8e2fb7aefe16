"""How a group of verbs is listed, and how it refuses what it cannot parse."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from backtest.cli.usage import plain_usage

_WHOLE = 1_000


class Verbs(TyperGroup):
    """A group that lists each verb with its whole sentence, on several lines where it needs them."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs in the order in which they were added."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, verb.get_short_help_str(_WHOLE)) for name, verb in verbs if verb])

    def make_context(self, *arguments: Any, **extra: Any) -> Any:
        """Parse, with every complaint as one sentence."""
        with plain_usage():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Parse and run a verb, with every complaint as one sentence."""
        with plain_usage():
            return super().invoke(ctx)
