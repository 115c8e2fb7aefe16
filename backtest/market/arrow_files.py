"""Parquet and Feather files from others, refused before unpacking if they would unpack to more than bars can.

A file of a megabyte can claim to hold a thousand million rows, all of one value. Bars do not compress that well: a file
that unpacks to a hundred times its size was made to fill the memory.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.feather
import pyarrow.parquet

from backtest.base.errors import MarketError, shortened

MOST_UNPACKED, LEAST_ROOM = 100, 256 * 2**20
"""Bytes unpacked per byte of a file, and bytes that any file may have."""
MOST_COLUMNS = 1_000
_NESTED = (pa.types.is_nested, pa.types.is_union, lambda kind: isinstance(kind, pa.BaseExtensionType))


def room_for(size: int) -> int:
    """Bytes that a packed file of `size` bytes may unpack to."""
    return LEAST_ROOM + MOST_UNPACKED * size


def read_arrow_file(path: Path, data: bytes) -> Any:
    """Arrow table of a Parquet or Feather file, recognised by its first bytes.

    Raises
    ------
    MarketError
        If it is incomplete, unpacks to more than its size allows, or has columns other than numbers, times and text.
    """
    form = "Parquet" if data[:4] == b"PAR1" else "Feather"
    try:
        unpacked, schema = _parquet_size(data) if form == "Parquet" else _feather_size(data)
        if unpacked > room_for(len(data)):
            raise MarketError(
                f"{path} would unpack to {unpacked:,} bytes, but at most {room_for(len(data)):,} are read of a {form} "
                f"file of {len(data):,}: export it again"
            )
        if schema is not None:
            _check_columns(path, schema)
        room = room_for(len(data))
        if form == "Parquet":
            table = _bounded(path, pa.BufferReader(data), room)
        else:
            table = pa.feather.read_table(pa.BufferReader(data))
        _check_columns(path, table.schema)
        table.validate(full=True)
        _check_text(path, table, room)
    except (pa.ArrowException, ArithmeticError, LookupError, OSError, ValueError, struct.error, TypeError) as problem:
        raise MarketError(f"{path} is not a whole {form} file ({str(problem)[:300]}): export it again") from None
    return table


def read_parquet(path: Path, expected: Any, *, page_checksums: bool = False) -> Any:
    """Arrow table of a Parquet file on disk by the same rules; rows are read only if the columns are as expected.

    Raises
    ------
    MarketError
        If it unpacks to more than its size allows. An incomplete file raises Arrow's own errors.
    """
    with pa.parquet.ParquetFile(path) as file:
        told, schema = file.metadata, file.schema_arrow
    unpacked, room = _unpacked(told), room_for(path.stat().st_size)
    if unpacked > room:
        raise MarketError(f"{path} would unpack to {unpacked:,} bytes, but at most {room:,} are read: restore the file")
    return _bounded(path, path, room, page_checksums) if schema.equals(expected) else schema.empty_table()


def _bounded(path: Path, source: Any, room: int, page_checksums: bool = False) -> Any:
    """Table of a Parquet file whose text unpacks to at most its limit: one long value may be repeated a million times.

    Text is read as a dictionary, whose values the file holds in full. `DELTA_BYTE_ARRAY` columns are not: they are
    read a few rows at a time, since no value is longer than everything in its column.
    """
    with pa.parquet.ParquetFile(source) as told:
        schema = told.schema_arrow
        text = {field.name for field in schema if _is_text(field.type)}
        shortened_ones = _shortened_chunks(told, text) if text else []
    whole = sorted(text - {one.path_in_schema for one in shortened_ones})
    with pa.parquet.ParquetFile(source, read_dictionary=whole, page_checksum_verification=page_checksums) as file:
        if not shortened_ones:
            table = file.read()
        else:
            longest = max(one.total_uncompressed_size for one in shortened_ones)
            parts, taken = [], 0
            for part in file.iter_batches(batch_size=max(1, min(65_536, room // (longest + 1)))):
                taken += part.nbytes
                if taken > room:
                    _refuse_text(path, taken, room)
                parts.append(part)
            table = pa.Table.from_batches(parts, schema=file.schema_arrow)
    _check_text(path, table, room)
    return table.cast(schema) if text else table


def _shortened_chunks(file: Any, text: set[str]) -> list[Any]:
    """Parts of the text columns encoded as `DELTA_BYTE_ARRAY`."""
    for number in range(file.metadata.num_row_groups):
        # Asked for the type of a broken column, Arrow ends the process; asked for one row, it raises.
        next(file.iter_batches(batch_size=1, row_groups=[number]), None)
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    return [one for one in chunks if one.path_in_schema in text and "DELTA_BYTE_ARRAY" in " ".join(one.encodings)]


def _check_text(path: Path, table: Any, room: int) -> None:
    taken = sum(_text_bytes(column) for column in table.columns)
    if taken > room:
        _refuse_text(path, taken, room)


def _refuse_text(path: Path, taken: int, room: int) -> None:
    raise MarketError(f"{path} would unpack to {taken:,} bytes of text, but at most {room:,} are read: export it again")


def _is_text(kind: Any) -> bool:
    return any(
        test(kind)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def _text_bytes(column: Any) -> int:
    """Bytes that the texts of a column take when each is stored by itself; 0 for other types."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            if _is_text(chunk.type.value_type):
                lengths = pa.compute.binary_length(chunk.dictionary).cast(pa.int64())
                total += pa.compute.sum(lengths.take(chunk.indices)).as_py() or 0
        elif _is_text(chunk.type):
            total += pa.compute.sum(pa.compute.binary_length(chunk).cast(pa.int64())).as_py() or 0
        elif pa.types.is_string_view(chunk.type) or pa.types.is_binary_view(chunk.type):
            # A view of 16 bytes begins with the length of its text, and many may refer to the same text.
            views = np.frombuffer(chunk.buffers()[1], np.int32)[4 * chunk.offset :][: 4 * len(chunk) : 4]
            total += int(views.clip(0).sum(dtype=np.int64))
    return total


def _check_columns(path: Path, schema: Any) -> None:
    if len(schema.names) > MOST_COLUMNS:
        raise MarketError(
            f"{path} has {len(schema.names):,} columns, at most {MOST_COLUMNS:,} are read: keep those of bars"
        )
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if any(test(kind) for test in _NESTED):
            raise MarketError(
                f"{path} column {shortened(field.name)} is of type {str(field.type)[:80]}: numbers, times and text are "
                "read; export it again"
            )


def _parquet_size(data: bytes) -> tuple[int, Any]:
    """Bytes that the file says it unpacks to, at least 8 per cell, and its schema."""
    file = pa.parquet.ParquetFile(pa.BufferReader(data))
    return _unpacked(file.metadata), file.schema_arrow


def _unpacked(told: Any) -> int:
    groups = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
    return max(8 * int(told.num_rows) * int(told.num_columns), int(groups))


def _feather_size(data: bytes) -> tuple[int, Any]:
    """Bytes that the buffers of an Arrow file say they unpack to, and its schema; version 1 packs nothing."""
    if data[:6] != b"ARROW1":
        return len(data), None
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(data)[8:])
    total = 0
    for message in reader:
        if message.type in ("record batch", "dictionary"):
            total += _batch_size(bytes(message.metadata), message.body, message.type == "dictionary")
    return total, pa.ipc.open_file(pa.BufferReader(data)).schema


def _batch_size(metadata: bytes, body: Any, dictionary: bool) -> int:
    """Bytes of one batch: at least 8 per row and column, plus what its compressed buffers say.

    Layout: `Message.fbs` of the Arrow format; Message holds header (2), DictionaryBatch data (1), RecordBatch length
    (0), nodes (1), buffers (2) and compression (3). A compressed buffer begins with its unpacked length.
    """
    batch = _table_at(metadata, _root(metadata), 2)
    if dictionary:
        batch = _table_at(metadata, batch, 1)
    place = _field(metadata, batch, 0)
    rows = struct.unpack_from("<q", metadata, place)[0] if place else 0
    fields, _ = _vector(metadata, batch, 1)
    total = 8 * rows * fields
    if not _field(metadata, batch, 3):
        return total
    count, start = _vector(metadata, batch, 2)
    unpacked = 0
    for number in range(count):
        offset, length = struct.unpack_from("<qq", metadata, start + 16 * number)
        if length >= 8:
            unpacked += max(struct.unpack_from("<q", body, offset)[0], 0)
    return max(total, unpacked)


def _root(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Position of a field of a flatbuffers table; 0 if absent."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, layout)[0]
    entry = 4 + 2 * number
    shift = struct.unpack_from("<H", data, layout + entry)[0] if entry < size else 0
    return table + shift if shift else 0


def _table_at(data: bytes, table: int, number: int) -> int:
    place = _field(data, table, number)
    if not place:
        raise ValueError("a message without its batch")
    return place + int(struct.unpack_from("<I", data, place)[0])


def _vector(data: bytes, table: int, number: int) -> tuple[int, int]:
    """Length of a vector and the position of its first element."""
    place = _field(data, table, number)
    if not place:
        return 0, 0
    start = place + int(struct.unpack_from("<I", data, place)[0])
    return int(struct.unpack_from("<I", data, start)[0]), start + 4
