"""Write the two locks: every version exact, every file of it by its sha256, no address of an index.

    python -m tools.lock             # keeps the versions that are locked, adds what is missing
    python -m tools.lock --upgrade   # the newest of everything

`requirements.lock` is what `make run` installs: the dependencies of pyproject.toml and what builds the package.
`requirements-dev.lock` holds what the tests, the checks and the site need on top. It takes `uv` on the path.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK, DEVELOPMENT = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
BUILD = ("hatchling", "editables")
EXTRAS = ("dev", "docs", "cluster")
PYTHON = "3.11.7"
"""Oldest interpreter for which the pins hold; newer ones follow from the markers."""
HEADS = {
    LOCK: "# What `make run` installs: exact versions, each file by its hash. `python -m tools.lock` writes it.\n",
    DEVELOPMENT: (
        "# What tests, checks and the site need on top of requirements.lock. `python -m tools.lock` writes it.\n"
        "--requirement requirements.lock\n"
    ),
}


def pins(text: str) -> dict[str, str]:
    """Each requirement line of a lock, whole with its hashes, by its name and marker."""
    blocks = [block.rstrip("\n") for block in re.findall(r"^[A-Za-z0-9].*\n(?: .*\n)*", text, flags=re.M)]
    return {block.partition(" \\\n")[0]: block for block in blocks}


def _compiled(folder: Path, known: str, extras: tuple[str, ...]) -> dict[str, str]:
    wanted, out = folder / "build.in", folder / "out.lock"
    wanted.write_text("\n".join(BUILD) + "\n")
    out.write_text(known)
    command = ["uv", "pip", "compile", str(ROOT / "pyproject.toml"), str(wanted), "--output-file", str(out)]
    command += ["--universal", "--python-version", PYTHON, "--generate-hashes", "--quiet"]
    # No address can follow: `pins` keeps the requirements and their hashes of what is written.
    command += ["--no-annotate", "--no-header", "--no-strip-extras"]
    for extra in extras:
        command += ["--extra", extra]
    subprocess.run(command, check=True)
    return pins(out.read_text())


def main(arguments: list[str]) -> None:
    """Resolve all together, then the part that a run needs at the same versions, and write both."""
    kept = "".join("\n".join(pins(path.read_text()).values()) + "\n" for path in HEADS if path.exists())
    with tempfile.TemporaryDirectory() as folder:
        everything = _compiled(Path(folder), "" if "--upgrade" in arguments else kept, EXTRAS)
        run = _compiled(Path(folder), "\n".join(everything.values()) + "\n", ())
    more = {name: block for name, block in everything.items() if name not in run}
    exact = [{re.sub(r"\[.*?\]| ;.*", "", name) for name in part} for part in (run, everything)]
    assert exact[0] <= exact[1], f"a run is locked at other versions than its tests: {exact[0] - exact[1]}"
    for path, chosen in ((LOCK, run), (DEVELOPMENT, more)):
        path.write_text(HEADS[path] + "\n".join(chosen[name] for name in sorted(chosen, key=str.lower)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
