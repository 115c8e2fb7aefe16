"""The command line: parse, call, print. A verb is read when it is asked for, and imports what is heavy inside."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import Annotated

import typer

from backtest.base.errors import BacktestError, UsageError, near_miss
from backtest.cli.leaving import (
    EXIT_INTERRUPTED,
    check_descriptors,
    check_folder,
    end_on_signals,
    fault_of_system,
    interrupted,
)
from backtest.cli.streams import UnwritableError, leave_quietly, prepare_streams
from backtest.cli.verbs import LazyVerbs
from backtest.cli.wording import as_typed

EXIT_INTERNAL, EXIT_READER_LEFT = 1, 141
YOUNG_OBJECTS = 50_000
"""Objects made and not freed before Python looks for reference cycles among them; far more than it would wait for."""
OLDER_OBJECTS = (20, 100)
"""Such searches before it looks among those that outlived one, and searches of these before it looks among all."""

app = typer.Typer(
    name="backtest",
    cls=LazyVerbs,
    help="Which privacy-coin catalysts could have been traded, net of every cost, and was it more than luck?",
    epilog="Exit codes: 0 ok, 1 internal, 2 usage or config, 3 data, 4 baseline regression, 5 look-ahead, "
    "129, 130 and 143 ended by SIGHUP, Ctrl-C and SIGTERM, 141 the reader of a pipe left.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        from backtest.cli.doctor import version_line

        typer.echo(version_line())
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the versions and exit.")
    ] = False,
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="Show log messages of libraries: debug, info, warning or error.")
    ] = "warning",
) -> None:
    """Options before the verb."""
    import logging

    levels = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
    if log_level.lower() not in levels:
        raise UsageError(f"--log-level {log_level[:40]!r} is unknown; {near_miss(log_level.lower(), levels)}")
    logging.basicConfig(level=levels[log_level.lower()], format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Entry point: every foreseen error is one sentence on stderr and its documented exit code.

    A reader who closes the pipe ends the command without a word, as the signal would.
    """
    end_on_signals()
    # What libraries make lives as long as the command; to search it for garbage, at exit too, takes a tenth of a run.
    gc.set_threshold(YOUNG_OBJECTS, *OLDER_OBJECTS)
    atexit.register(gc.freeze)
    # Nothing here is a plugin of pydantic; to look for some reads what every installed package says of itself.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    # Its threads wait for each other in a loop, and no product here is large enough to gain from them.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        prepare_streams()
        code = _exit_code()
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
        code = EXIT_READER_LEFT
    except UsageError as problem:
        # Of the streams themselves: what could not be written is not tried again on the way out.
        leave_quietly(stdout_only=True)
        typer.echo(f"backtest: {as_typed(str(problem))}", err=True)
        code = problem.exit_code
    except KeyboardInterrupt:
        code = _interruption(())
    sys.exit(code)


def _interruption(told: tuple[object, ...]) -> int:
    words, code = interrupted()
    typer.echo("; ".join((f"backtest: {words}", *map(str, told))), err=True)
    if code != EXIT_INTERRUPTED:
        # An interrupt that once passed through `exec` of a text makes Python end itself by SIGINT, whatever the code.
        atexit._run_exitfuncs()
    if code != EXIT_INTERRUPTED or any(
        not one.daemon for one in threading.enumerate() if one is not threading.main_thread()
    ):
        # A thread that compiles or reads would be waited for, a minute perhaps; all that had to be put back is.
        for stream in (sys.stdout, sys.stderr):
            # What was printed, by the functions called at exit too, is not lost with the process.
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    return code


def _exit_code() -> int:
    try:
        check_folder()
        check_descriptors()
        app()
    except SystemExit as leaving:
        # typer and rich turn a closed pipe into exit code 1, and typer an interrupt into 130 without a word.
        if isinstance(leaving.__context__, BrokenPipeError):
            raise leaving.__context__ from None
        stopped = leaving.__context__ and leaving.__context__.__cause__
        if isinstance(stopped, KeyboardInterrupt):
            return _interruption(stopped.args)
        return leaving.code if isinstance(leaving.code, int) else EXIT_INTERNAL if leaving.code else 0
    except UnwritableError:
        raise
    except BacktestError as error:
        typer.echo(f"backtest: {as_typed(str(error))}", err=True)
        return error.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("BACKTEST_DEBUG"):
            raise
        from backtest.signals.loading import fault_of

        theirs = fault_of_system(error) or fault_of(error)
        if theirs is not None:
            typer.echo(f"backtest: {as_typed(str(theirs))}", err=True)
            return theirs.exit_code
        typer.echo(
            f"backtest: internal error: {type(error).__name__}: {error}; set BACKTEST_DEBUG=1 for the traceback",
            err=True,
        )
        return EXIT_INTERNAL
    return 0
