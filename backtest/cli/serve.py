"""`backtest serve`: the runs and trials of a workspace in a local page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backtest.base.errors import UsageError
from backtest.cli.options import LedgerOption


def serve(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder that holds run folders.")] = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 0,
    ledger: LedgerOption = None,
) -> None:
    """Show runs, reports and trials in a local page: this machine only, read only, behind a token."""
    from backtest.ledger.store import ledger_path
    from backtest.report.server import WorkspaceServer
    from backtest.report.workspace_pages import Pages

    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder: run `backtest run` first, or name the folder that holds run folders"
        )
    try:
        server = WorkspaceServer(Pages(folder, ledger_path(ledger)), port)
    except OSError as problem:
        raise UsageError(f"port {port} cannot be used ({problem.strerror}): leave --port out for a free one") from None
    typer.echo(server.address)
    typer.echo("open it in a browser of this machine; ctrl-c ends it", err=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
    finally:
        server.server_close()
