"""Run one notebook in a kernel of its own: `execute.py NOTEBOOK EXECUTED FOLDER`; exit code 1 with what went wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

OFFLINE = """
import socket
def _refuse(self, address):
    raise RuntimeError(f"a notebook tried to reach {address}")
socket.socket.connect = _refuse
"""


def execute(source: str, target: str, folder: str) -> None:
    """Write the executed notebook, its outputs included, to `target`; the kernel stands in `folder`."""
    book = nbformat.read(source, as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    # Kernel and client speak through files: nothing is sent over any network.
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(Path(folder) / "kernel"))
    try:
        NotebookClient(book, km=kernel, timeout=240).execute(cwd=folder)
    except CellExecutionError as error:
        sys.exit(str(error))
    finally:
        nbformat.write(book, target)


if __name__ == "__main__":
    execute(*sys.argv[1:])
