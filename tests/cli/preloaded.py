"""Imported once by the process that commands are forked from."""

from tests.cli.prepared import load

load()
