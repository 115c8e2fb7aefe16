"""Which strategy files a document may run: only those named in the same command.

A run folder, a baseline or a search file may come from somebody else, and so may the strategy file it names, wherever
that lies: beside the document, above it, or in the current folder.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from backtest.base.errors import UsageError
from backtest.signals.loading import file_of, is_file_reference


def trusted_files(names: Sequence[str], document: Path, typed: Sequence[Path], option: str = "trust") -> list[str]:
    """One line, with its hash, for each strategy file that a document names, provided that all were named by the user.

    `typed` are files, or folders of which every file is trusted. Links are followed before they are compared.

    Raises
    ------
    UsageError
        For a file that was not named; gives the path, its SHA-256 and the option that trusts it.
    """
    allowed = [path.resolve() for path in typed]
    lines = []
    for name in filter(is_file_reference, names):
        file = file_of(name).resolve()
        if not file.is_file():
            continue  # Nothing that could run; loading it says that it does not exist.
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if not any(file == path or (path.is_dir() and file.is_relative_to(path)) for path in allowed):
            raise UsageError(
                f"{document} names the strategy file {str(file)[:400]} (sha256 {digest}), and a document runs no code: "
                f"read that file, and if you trust it, add `{option} {shlex.quote(str(file)[:400])}`"
            )
        lines.append(f"{document} runs {file} (sha256 {digest}), named by `{option}`")
    return lines
