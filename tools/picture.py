"""Draw docs/figures/run.svg, what README shows: the output of a run on the sample, as a terminal of 100 columns has it.

`python -m tools.picture` draws it after a change of what a run prints or of the sample; `make baseline` does too.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "figures" / "run.svg"
COMMAND = ("backtest", "run", "-s", "catalyst_momentum", "--trades")
COLUMNS = 100
_FOREIGN = re.compile(r"@font-face \{.*?\}|<!-- Generated.*?-->", flags=re.S)


def output() -> list[str]:
    """Lines of the command from the bars it read to its last table, run in an empty folder without a ledger."""
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-P", "-m", *COMMAND, "--ledger", "none"],
            cwd=folder, env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    first = next(at for at, line in enumerate(lines) if line.startswith("Verdict: "))
    label = next(line for line in lines if line.startswith("RECONSTRUCTED"))
    held = [line for line in lines[first:] if not line.startswith(("run folder", "no ledger"))]
    return [f"$ {' '.join(COMMAND)}", label, "...", "", *held]


def drawn(lines: list[str]) -> str:
    """The lines as an SVG that asks no other host for a font."""
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=False)
    for line in lines:
        console.print(Text(line), soft_wrap=False, crop=False)
    svg = console.export_svg(title=" ".join(COMMAND), theme=MONOKAI, unique_id="run")
    return "\n".join(line.rstrip() for line in _FOREIGN.sub("", svg).splitlines()) + "\n"


def shown(svg: str) -> str:
    """The words of the picture, one space between them."""
    return " ".join(unescape(" ".join(re.findall(r"<text[^>]*>(.*?)</text>", svg, flags=re.S))).split())


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(output()), encoding="utf-8")
    print(PICTURE.relative_to(ROOT), PICTURE.stat().st_size, "bytes")
