"""Run notebooks, two at a time, each in a kernel of its own: one process of the client, which takes long to import.

Reads a JSON list of [NOTEBOOK, EXECUTED, FOLDER], writes the list of what went wrong: "" where all is well.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

AT_ONCE = 2
OFFLINE = """
import socket
def _refuse(self, address):
    raise RuntimeError(f"a notebook tried to reach {address}")
socket.socket.connect = _refuse
"""


async def execute(source: str, target: str, folder: str, turn: asyncio.Semaphore) -> str:
    """Write the executed notebook, its outputs included, to `target`; the kernel stands in `folder`."""
    book = nbformat.read(source, as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    # Kernel and client speak through files: nothing is sent over any network.
    kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=str(Path(folder) / "kernel"))
    async with turn:
        try:
            await NotebookClient(book, km=kernel, timeout=240).async_execute(cwd=folder)
        except CellExecutionError as error:
            return str(error)
        finally:
            nbformat.write(book, target)
    return ""


async def execute_all(jobs: list[tuple[str, str, str]]) -> list[str]:
    """What went wrong in each."""
    turn = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(execute(*job, turn) for job in jobs))


if __name__ == "__main__":
    json.dump(asyncio.run(execute_all(json.load(sys.stdin))), sys.stdout)
