"""`backtest.toml`: defaults of a working folder.

It names data and settings only: a dataset, calendars, a configuration, a store and a ledger. It never names a
strategy, so that opening a folder runs no code of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from backtest.base.documents import build, read_toml
from backtest.base.errors import ConfigError

FILE = "backtest.toml"


class Workspace(BaseModel):
    """Defaults of a folder; paths in it are taken from where the command runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str | None = None
    timeframe: str | None = None
    currency: str | None = None
    rules: str | None = None
    calendars: tuple[str, ...] = ()
    config: str | None = None
    store: str | None = None
    ledger: str | None = None

    def fill(self, values: dict[str, Any]) -> list[str]:
        """Fill in its values where none were given; returns what was filled in, as `key = value`."""
        told = []
        for name, value in self.model_dump().items():
            if value and name in values and not values[name]:
                values[name] = value
                told.append(f"{name} = {', '.join(value) if isinstance(value, tuple) else value}")
        return told


def read_workspace(folder: Path) -> Workspace:
    """The `backtest.toml` of a folder, empty where there is none.

    Raises
    ------
    ConfigError
        For a file that cannot be read, or a key that is unknown.
    """
    path = folder / FILE
    return build(Workspace, read_toml(path, ConfigError), FILE) if path.exists() else Workspace()
