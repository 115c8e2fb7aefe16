"""The wheel, built from the sdist and installed where the checkout cannot be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from backtest.base.locks import locked

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installed:
    """A wheel in an environment of its own, with an empty home; `build` holds the wheel and the sdist."""

    build: Path
    environment: Path
    home: Path

    @property
    def wheel(self) -> Path:
        (found,) = self.build.glob("*.whl")
        return found

    @property
    def sdist(self) -> Path:
        (found,) = self.build.glob("*.tar.gz")
        return found

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def packages(self) -> Path:
        (found,) = self.environment.glob("lib/python*/site-packages")
        return found

    def __call__(
        self, arguments: Sequence[str | Path], folder: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in a folder, as a user would: nothing of ours in its environment."""
        program, *rest = arguments
        return subprocess.run(
            [self.environment / "bin" / program, *rest],
            cwd=folder,
            env={"HOME": str(self.home), "PATH": f"{self.environment / 'bin'}:/usr/bin:/bin", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, kernel: None) -> Installed:
    """Built once for all workers. What the package depends on is lent by the environment that runs the tests."""
    shared = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if shared else base) / "wheel"
    folder.mkdir(exist_ok=True)
    made = Installed(folder / "dist", folder / "environment", folder / "home")
    with locked(folder / "lock", 600.0):
        # The home is made last: where it is there, so is everything else.
        if not made.home.is_dir():
            _build(made, folder)
            made.home.mkdir()
    return made


def _build(made: Installed, folder: Path) -> None:
    """Wheel, sdist, and an environment with the wheel; nothing is downloaded."""
    quiet = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*arguments: str) -> None:
        done = subprocess.run(arguments, cwd=folder, env=quiet, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    python, dist = sys.executable, str(made.build)
    run(python, "-m", "build", "--no-isolation", "--outdir", dist, str(ROOT))
    run(python, "-m", "venv", "--without-pip", str(made.environment))
    # A folder named in a .pth file joins the path, but its own .pth files are not read: an editable install stays out.
    lent = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (made.packages / "lent.pth").write_text("\n".join(lent) + "\n")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--python", str(made.python), "install")
    run(*pip, "--no-deps", "--no-index", "--quiet", str(made.wheel))
    _lend_machine_code(ROOT / "backtest" / "engine", made.packages / "backtest" / "engine")


def _lend_machine_code(ours: Path, theirs: Path) -> None:
    """Spare the new environment half a minute of compiling: code of the same source has the same name."""
    for path in (ours / "__pycache__").glob("kernel-*"):
        shutil.copytree(path, theirs / "__pycache__" / path.name, dirs_exist_ok=True)
