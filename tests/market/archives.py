"""What several tests do with a file of Binance's archive."""

from __future__ import annotations

from pathlib import Path

from backtest.base.documents import read_whole
from backtest.base.errors import MarketError
from backtest.market.archive import LARGEST, ArchiveContent, checked, read_archive_file


def read_archive_path(path: Path) -> ArchiveContent:
    """Rows of a file on disk, checked against `NAME.CHECKSUM` where that stands beside it."""
    content = read_whole(path, MarketError, LARGEST)
    vouched = checked(path, content)
    return read_archive_file(str(path), path.name, content, vouched=vouched)
