"""The command line as a user meets it: a process of its own, forked from a warm one unless a cold one is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import prepared

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
UTF8 = {"PYTHONIOENCODING": "utf-8"}
"""Whatever locale the tests run under."""


@pytest.fixture
def backtest(tmp_path: Path) -> Command:
    """Run `backtest ARGUMENTS` in an empty folder, 80 columns wide, without colour."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        asked = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **environment}
        if prepared.fit(asked):
            return prepared.call(arguments, tmp_path, asked)
        return subprocess.run(
            [sys.executable, "-m", "backtest", *arguments],
            cwd=tmp_path,
            env={**asked, "PYTHONPATH": str(ROOT), **UTF8, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call
