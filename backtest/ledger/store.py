"""The file of the ledger: SQLite in WAL mode, entries chained by hash, draws kept by their hash.

An entry is a scope, a trial, a registration or a decision. Its hash covers the hash before it, its kind, time, version
and text, and its text holds the hash of its draws: a byte that changes anywhere breaks the chain at a named entry.
Entries are added, never changed. The columns beside the text (`rank`, `common`...) are an index, which `verify`
computes again. Two processes write in turn; a commit is on the disk before anything is printed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backtest import __version__
from backtest.base.arguments import checked
from backtest.base.documents import user_path
from backtest.base.errors import DataError, UsageError, shortened
from backtest.ledger.family import DrawsBlock, standard_of
from backtest.ledger.records import Decision, KeptTrial, Registration, Scope, Singles, TrialRecord, canonical, digest
from backtest.ledger.schema import check_programs
from backtest.request.workspace import read_workspace

FORMAT = 1
WAIT_SECONDS = 60.0
BATCH = 512
"""Trials of one commit."""
BLOCK = 256
LOWEST = -1e30
"""Rank of a trial that never varies: SQLite has no infinity in text, and it comes before every other."""
FIRST = "0" * 64
NAME = "backtest-ledger.sqlite"
NO_LEDGER = "none"
VARIABLE = "BACKTEST_LEDGER"

TABLES = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    time TEXT NOT NULL,
    version TEXT NOT NULL,
    body TEXT NOT NULL,
    hash TEXT NOT NULL,
    common TEXT NOT NULL,
    scope TEXT NOT NULL,
    draws TEXT NOT NULL,
    centre REAL NOT NULL,
    spread REAL NOT NULL,
    rank REAL NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX of_family ON entries (kind, common, scope, rank);
CREATE TABLE draws (hash TEXT PRIMARY KEY, numbers BLOB NOT NULL);
CREATE TRIGGER no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries are added, never changed'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries are added, never removed'); END;
"""
INSERT = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The newest entry: its place and hash; 0 and zeros for an empty ledger."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class TrialGroup:
    """Tested trials that share draws and scope: their number, and the place of the first."""

    common: str
    scope: str
    trials: int
    first: int


class Ledger:
    """A research ledger in a file, created if absent.

    Raises
    ------
    UsageError
        Where the file cannot be made or written.
    DataError
        Where it is no ledger, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._guard():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        db = self._connection
        db.execute("PRAGMA trusted_schema = OFF")
        check_programs(db, self.path, _statements(TABLES))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            db.execute("BEGIN IMMEDIATE")
            with _committed(db):
                # Another process may have made it meanwhile.
                if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                    if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                        raise DataError(f"{self.path} is another SQLite database: name a separate file with `ledger`")
                    for statement in _statements(TABLES):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {FORMAT}")
        elif found != FORMAT:
            raise DataError(f"ledger {self.path} has format {found}, and this version reads {FORMAT}: use a newer one")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the journal beside it is folded in where no other process has it open."""
        self._connection.close()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn what SQLite and the disk complain of into one sentence."""
        try:
            yield
        except sqlite3.OperationalError as problem:
            raise UsageError(
                f"ledger {self.path} cannot be used ({problem}): free space, wait for the other process, choose "
                "another with `ledger`, or `ledger=none`, which adjusts for one command only"
            ) from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as problem:
            raise DataError(f"ledger {self.path} is damaged or no ledger ({problem}): restore it from a copy") from None
        except OSError as problem:
            raise UsageError(
                f"ledger {self.path} cannot be made ({problem}): choose another with `ledger`, or `ledger=none`"
            ) from None

    def append(self, trials: Sequence[TrialRecord]) -> tuple[int, ...]:
        """Add the trials that are not there yet, and give the place of each; what is given back is on the disk."""
        places: list[int] = []
        for first in range(0, len(trials), BATCH):
            with self.writing():
                places += [self._add_trial(one) for one in trials[first : first + BATCH]]
        return tuple(places)

    def register(self, hypothesis: str, strategy: str, asked: str, request: dict[str, Any]) -> Registration:
        """Write a hypothesis down; the same one twice stands once.

        Raises
        ------
        UsageError
            Where the same test is registered already under other words.
        """
        with self.writing():
            known = self._place("registration", asked)
            if not known:
                body = {"hypothesis": hypothesis, "strategy": strategy, "asked": asked, "request": request}
                known = self._add("registration", asked, body)
        (found,) = [one for one in self.registrations() if one.seq == known]
        if found.hypothesis != hypothesis:
            raise UsageError(
                f"this test is registered already, as #{found.seq} of {found.time} "
                f"({shortened(found.hypothesis)}): run it"
            )
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is done inside is on the disk as a whole or not at all, and no other process writes meanwhile."""
        with self._guard():
            self._connection.execute("BEGIN IMMEDIATE")
            with _committed(self._connection):
                yield

    def _place(self, kind: str, key: str) -> int:
        row = self._connection.execute("SELECT seq FROM entries WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return int(row[0]) if row else 0

    def _add_trial(self, trial: TrialRecord) -> int:
        known = self._place("trial", trial.key)
        if known:
            return known
        scope = trial.scope.body()
        name = digest(scope)
        if not self._place("scope", name):
            self._add("scope", name, scope)
        numbers = np.ascontiguousarray(trial.draws, "<f4").tobytes()
        draws = hashlib.sha256(numbers).hexdigest() if trial.tested else ""
        if trial.tested:
            self._connection.execute("INSERT OR IGNORE INTO draws VALUES (?, ?)", (draws, numbers))
        return self._add("trial", trial.key, {**trial.body(), "scope": name, "draws": draws}, trial.draws)

    def _add(self, kind: str, key: str, body: dict[str, Any], draws: Singles | None = None) -> int:
        head = self.head()
        seq, text = head.seq + 1, canonical(body)
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        chained = link_of(head.hash, kind, key, time, __version__, text)
        columns = index_of(kind, body, np.empty(0, np.float32) if draws is None else draws)
        self._connection.execute(INSERT, (seq, kind, key, time, __version__, text, chained, *columns))
        return seq

    def head(self) -> LedgerHead:
        """The newest entry."""
        with self._guard():
            row = self._connection.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        return LedgerHead(int(row[0]), str(row[1])) if row else LedgerHead(0, FIRST)

    def trials(self, seqs: Sequence[int] | None = None) -> tuple[KeptTrial, ...]:
        """Every trial in the order of writing, or those at some places."""
        question = "SELECT seq, key, time, version, body, common, scope FROM entries WHERE kind = 'trial'"
        with self._guard():
            if seqs is None:
                rows = self._connection.execute(f"{question} ORDER BY seq").fetchall()
            else:
                rows = [row for seq in seqs for row in self._connection.execute(f"{question} AND seq = ?", (seq,))]
        return tuple(
            KeptTrial(seq, key, {**json.loads(body), "time": time, "version": version}, common, scope)
            for seq, key, time, version, body, common, scope in rows
        )

    def registrations(self) -> tuple[Registration, ...]:
        """Every registration in the order of writing."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT seq, time, body FROM entries WHERE kind = 'registration' ORDER BY seq"
            ).fetchall()
        found = [(seq, time, json.loads(body)) for seq, time, body in rows]
        return tuple(
            Registration(seq, body["hypothesis"], time, body["strategy"], body["asked"], body["request"])
            for seq, time, body in found
        )

    def add_decision(self, decision: Decision) -> None:
        """Add a decision; only inside `writing`, so that it is made on the ledger as it is."""
        body = asdict(decision)
        self._add("decision", digest(body), body)

    def decisions(self) -> tuple[Decision, ...]:
        """Every decision in the order of writing."""
        with self._guard():
            rows = self._connection.execute("SELECT body FROM entries WHERE kind = 'decision' ORDER BY seq").fetchall()
        return tuple(Decision.from_body(json.loads(body)) for (body,) in rows)

    def scopes(self) -> dict[str, Scope]:
        """Every scope by its name."""
        with self._guard():
            rows = self._connection.execute("SELECT key, body FROM entries WHERE kind = 'scope'").fetchall()
        return {str(key): Scope.from_body(json.loads(body)) for key, body in rows}

    def groups(self) -> tuple[TrialGroup, ...]:
        """The tested trials, by what draws they share and what they looked at."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT common, scope, count(*), min(seq) FROM entries WHERE kind = 'trial' AND common != '' "
                "GROUP BY common, scope"
            ).fetchall()
        return tuple(
            TrialGroup(str(common), str(scope), int(count), int(first)) for common, scope, count, first in rows
        )

    def untested(self) -> tuple[KeptTrial, ...]:
        """Trials that were replayed without placebos and traded."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT seq, key, body, common, scope FROM entries "
                "WHERE kind = 'trial' AND common = '' AND draws = '' ORDER BY seq"
            ).fetchall()
        found = (KeptTrial(seq, key, json.loads(body), common, scope) for seq, key, body, common, scope in rows)
        return tuple(one for one in found if one.body["plan"] is None and not one.body["reason"])

    def sharpes(self, scope: str) -> tuple[float, ...]:
        """Annualised Sharpe ratio of each trial that overlaps a scope, tested or not, one of each `what`."""
        scopes = self.scopes()
        near = [name for name, one in scopes.items() if one.overlaps(scopes[scope])]
        marks = ", ".join("?" * len(near))
        with self._guard():
            rows = self._connection.execute(
                "SELECT json_extract(body, '$.scores.sharpe') FROM entries "
                f"WHERE kind = 'trial' AND scope IN ({marks}) GROUP BY json_extract(body, '$.what')",
                near,
            ).fetchall()
        return tuple(float(row[0]) for row in rows if row[0] is not None)

    def tested_again(self) -> frozenset[str]:
        """`what` of the untested trials that were tested as well."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT json_extract(t.body, '$.what') FROM entries t WHERE t.kind = 'trial' AND t.common != '' "
                "AND EXISTS (SELECT 1 FROM entries u WHERE u.kind = 'trial' AND u.common = '')"
            ).fetchall()
        return frozenset(str(row[0]) for row in rows)

    def scopes_asked(self, asked: Sequence[str]) -> dict[str, frozenset[str]]:
        """Scopes that each registered test was run on; none for one that was not run."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT json_extract(body, '$.asked'), scope FROM entries WHERE kind = 'trial' "
                "AND json_extract(body, '$.asked') IN (SELECT key FROM entries WHERE kind = 'registration')"
            ).fetchall()
        return {one: frozenset(str(scope) for found, scope in rows if found == one) for one in asked}

    def ranking(self, common: str, scopes: Sequence[str]) -> tuple[int, ...]:
        """Places of the tested trials of some scopes that share draws, in ascending order of rank."""
        marks = ", ".join("?" * len(scopes))
        with self._guard():
            rows = self._connection.execute(
                f"SELECT seq FROM entries WHERE kind = 'trial' AND common = ? AND scope IN ({marks}) "
                "ORDER BY rank, seq",
                (common, *scopes),
            ).fetchall()
        return tuple(int(row[0]) for row in rows)

    def blocks(self, common: str, scopes: Sequence[str]) -> Iterator[DrawsBlock]:
        """The draws of those trials, in the same order, a block at a time."""
        marks = ", ".join("?" * len(scopes))
        with self._guard(), closing(self._connection.cursor()) as cursor:
            cursor.execute(
                f"SELECT e.centre, e.spread, e.rank, d.numbers FROM entries e JOIN draws d ON d.hash = e.draws "
                f"WHERE e.kind = 'trial' AND e.common = ? AND e.scope IN ({marks}) ORDER BY e.rank, e.seq",
                (common, *scopes),
            )
            while rows := cursor.fetchmany(BLOCK):
                numbers = np.frombuffer(b"".join(row[3] for row in rows), "<f4").reshape(len(rows), -1)
                centre, spread, rank = np.array([row[:3] for row in rows], dtype=np.float64).T
                yield DrawsBlock(numbers, centre, spread, rank)

    def draws_of(self, seq: int) -> Singles:
        """(B,) draws of one trial; empty where it was not tested."""
        with self._guard():
            row = self._connection.execute(
                "SELECT d.numbers FROM entries e JOIN draws d ON d.hash = e.draws WHERE e.seq = ?", (seq,)
            ).fetchone()
        return np.frombuffer(row[0], "<f4") if row else np.empty(0, np.float32)

    def compact(self) -> tuple[int, int]:
        """Drop draws that no trial names and give free pages back; size in bytes before and after."""
        before = self.path.stat().st_size
        with self._guard():
            db = self._connection
            db.execute("DELETE FROM draws WHERE hash NOT IN (SELECT draws FROM entries)")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            before = self.path.stat().st_size
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, self.path.stat().st_size

    def raw(self) -> Iterator[tuple[Any, ...]]:
        """Every entry as it stands in the file, in order."""
        with self._guard():
            yield from self._connection.execute("SELECT * FROM entries ORDER BY seq")

    def integrity(self) -> tuple[str, ...]:
        """What SQLite finds damaged in the file, at most eight sentences."""
        with self._guard():
            told = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(8)")]
        return tuple(line for line in told if line != "ok")

    def numbers(self, name: str) -> bytes | None:
        """Bytes of the draws of a name; none of the empty name, None where they are missing."""
        if not name:
            return b""
        with self._guard():
            row = self._connection.execute("SELECT numbers FROM draws WHERE hash = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None


def ledger_path(chosen: str | None = None) -> Path | None:
    """File of the ledger: as chosen, else as `BACKTEST_LEDGER` or `backtest.toml` says, else here; None for `none`."""
    said = chosen or os.environ.get(VARIABLE) or read_workspace(Path()).ledger or NAME
    return None if said == NO_LEDGER else user_path(said)


@checked
def open_ledger(path: Path | str | None = None, *, make: bool = True) -> Ledger:
    """The research ledger at a path, else where `BACKTEST_LEDGER` says, else in the folder one is in; made if absent.

    Where it is only read, `make=False` refuses a file that is not there.

    Raises
    ------
    UsageError
        Where there shall be none, or the file cannot be made.
    DataError
        Where it is no ledger, or damaged.
    """
    found = ledger_path(str(path) if path is not None else None)
    if found is None:
        raise UsageError(f"no ledger is in use ({VARIABLE} or `ledger` is {NO_LEDGER}): name a file")
    if not make and not found.exists():
        raise UsageError(f"ledger {found} does not exist: `backtest run` makes it, or name another with `ledger`")
    return Ledger(found)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would end the transaction it stands in."""
    text = ""
    for line in script.splitlines():
        text += f"{line}\n"
        if sqlite3.complete_statement(text):
            yield text
            text = ""


@contextmanager
def _committed(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done inside, or undo all of it."""
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def link_of(previous: str, *parts: str) -> str:
    """Hash of an entry: of the hash before it and its kind, key, time, version and text."""
    return hashlib.sha256(canonical([previous, *parts]).encode()).hexdigest()


def index_of(kind: str, body: dict[str, Any], draws: Singles) -> tuple[str, str, str, float, float, float]:
    """The columns that follow from an entry: common, scope, draws, centre, spread, rank."""
    if kind != "trial":
        return "", "", "", 0.0, 0.0, 0.0
    if not len(draws):
        return "", str(body["scope"]), "", 0.0, 0.0, 0.0
    observed = body["observed"]
    of = standard_of(np.nan if observed is None else observed, draws)
    rank = of.rank if np.isfinite(of.rank) else LOWEST
    return str(body["common"]), str(body["scope"]), str(body["draws"]), of.centre, of.spread, rank
