"""The command line: parse, call, print. Heavy imports happen inside the verb that needs them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from backtest import __version__
from backtest.cli import data, events, strategies
from backtest.cli.audit import audit
from backtest.cli.claims import claims
from backtest.cli.fetch import fetch
from backtest.cli.run import run
from backtest.cli.study import study
from backtest.cli.sweep import sweep
from backtest.cli.walkforward import walkforward
from backtest.errors import BacktestError

EXIT_INTERNAL, EXIT_INTERRUPTED = 1, 130

app = typer.Typer(
    name="backtest",
    help="Which privacy-coin catalysts could have been traded, net of every cost, and was it more than luck?",
    epilog="Exit codes: 0 ok, 1 internal, 2 usage or config, 3 data, 4 baseline regression, 5 look-ahead, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(sweep)
app.command()(walkforward)
app.command()(study)
app.command()(fetch)
app.command()(audit)
app.add_typer(data.app, name="data")
events.app.command()(claims)
app.add_typer(events.app, name="events")
app.add_typer(strategies.app, name="strategies")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"backtest {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Entry point: every foreseen error is one sentence on stderr and its documented exit code."""
    try:
        app()
    except BacktestError as error:
        typer.echo(f"backtest: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("backtest: interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("BACKTEST_DEBUG"):
            raise
        typer.echo(
            f"backtest: internal error: {type(error).__name__}: {error}; set BACKTEST_DEBUG=1 for the traceback",
            err=True,
        )
        sys.exit(EXIT_INTERNAL)
