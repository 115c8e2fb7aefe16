"""Build a release into `dist/`, check it, and write what it is made of to `sbom.cdx.json`.

    python -m tools.release [vX.Y.Z]   # a tag that is not the version of the code is refused

The wheel is installed into an empty environment from the lock, each file held to its hash, and asked for its version
and for one run; nothing is uploaded.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from backtest import __version__

ROOT = Path(__file__).parents[1]
DIST, PARTS, LOCK = ROOT / "dist", ROOT / "sbom.cdx.json", ROOT / "requirements.lock"


def _run(*words: str | Path, folder: Path = ROOT) -> str:
    print("$", *words, flush=True)
    return subprocess.run([str(word) for word in words], cwd=folder, check=True, text=True, capture_output=True).stdout


def _module(*words: str | Path) -> None:
    _run(sys.executable, "-m", *words)


def build(folder: Path) -> list[Path]:
    """Sdist and wheel, the wheel built from the sdist; twine finds nothing to complain about."""
    _module("build", "--no-isolation", "--outdir", folder, ROOT)
    built = sorted(folder.iterdir())
    _module("twine", "check", "--strict", *built)
    return built


def write_parts(path: Path, version: str = __version__) -> dict[str, object]:
    """CycloneDX list of every package of `requirements.lock` and the hashes it may have; the same lock, same bytes."""
    _module("cyclonedx_py", "requirements", LOCK, "--pyproject", ROOT / "pyproject.toml", "--output-reproducible",
            "--output-format", "JSON", "--output-file", path)  # fmt: skip
    parts: dict[str, object] = json.loads(path.read_text())
    # The version stands in the code, once; the tool reads it nowhere else.
    parts["metadata"]["component"]["version"] = version  # type: ignore[index]
    path.write_text(json.dumps(parts, indent=1, sort_keys=True) + "\n")
    return parts


def try_out(wheel: Path) -> None:
    """Install the wheel where nothing is, far from the checkout, and use it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _run(sys.executable, "-m", "venv", folder / "environment")
        python = folder / "environment" / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, "--require-hashes", "--requirement", LOCK)
        _run(*pip, "--no-deps", wheel)
        said = _run(python, "-P", "-m", "backtest", "--version", folder=folder)
        if f"backtest {__version__} " not in said:
            raise SystemExit(f"the installed wheel says {said.strip()!r}, not version {__version__}")
        _run(python, "-P", "-m", "backtest", "run", "-s", "buy_and_hold", "--ledger", "none", folder=folder)


def main(arguments: list[str]) -> None:
    """Refuse a wrong tag, then build, check and try out."""
    if arguments and arguments[0] != f"v{__version__}":
        raise SystemExit(f"tag {arguments[0]!r} is not v{__version__}: set __version__ in backtest/__init__.py")
    shutil.rmtree(DIST, ignore_errors=True)
    built = build(DIST)
    write_parts(PARTS)
    try_out(next(path for path in built if path.suffix == ".whl"))
    print("built, checked and tried out:", *(path.name for path in built), PARTS.name)


if __name__ == "__main__":
    main(sys.argv[1:])
