"""The account's books: an SQLite file that says how far each topic was read and what was found, and can be made anew.

Records and the offsets up to which they were read are written in one transaction, so a run that is killed is gone on
with. It holds ids, places and times, never an answer. A file of another cluster, another prefix or another version, or
one that is damaged, is `Unusable`: it is deleted and the topics are read again.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FORMAT = 4
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE read (
    topic TEXT, partition INT, next INT, offset INT, at INT, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
-- What was promised: raw records, and the dead letters of the door. `origin` is packed, see entries.py.
-- `settled` is 0 for what is to be judged, 1 for what is at an end, 2 for what waits for fetch to read it. `reconciled`
-- is 1 where nobody but us announced it, for it was at Meta and not here.
CREATE TABLE promise (
    origin INTEGER PRIMARY KEY, page, lead, at INT, reconciled INT, kind TEXT, settled INT NOT NULL DEFAULT 0
);
CREATE INDEX promise_of ON promise (lead);
CREATE INDEX unsettled ON promise (origin) WHERE settled = 0;
CREATE INDEX unread ON promise (origin) WHERE settled = 2;
-- The last fate of each key: the worker's own word, and apart from it that of whoever sent it back (`moved`).
CREATE TABLE fate (
    origin INT, stage TEXT, target TEXT, moved INT, kind TEXT, reason TEXT, seq INT, at INT,
    topic TEXT, partition INT, offset INT, PRIMARY KEY (origin, stage, target, moved)
) WITHOUT ROWID;
-- The newest copy of a record on each topic where copies wait.
CREATE TABLE copy (
    origin INT, topic TEXT, partition INT, offset INT, at INT, PRIMARY KEY (origin, topic)
) WITHOUT ROWID;
CREATE TABLE letter (
    partition INT, offset INT, stage TEXT, origin INT, target TEXT, reason TEXT, at INT,
    PRIMARY KEY (partition, offset)
) WITHOUT ROWID;
CREATE INDEX letter_of ON letter (origin, stage, target);
-- The newest record of each lead on details and, by topic, on each one it is mapped to. `richness` is how complete it
-- is, nothing for a tombstone; `richer` that of the richest before it, if that was more so, and `richer_at` its place.
CREATE TABLE details (
    lead PRIMARY KEY, origin INT, partition INT, offset INT, at INT, erased INT, richness INT, richer INT, richer_at INT
) WITHOUT ROWID;
CREATE INDEX outdone ON details (lead) WHERE richer IS NOT NULL;
-- `meant`, of leads.v1 alone: the ids of the targets that the lead is meant for, between commas.
CREATE TABLE mapped (
    target TEXT, lead, at INT, erased INT, meant TEXT, partition INT, offset INT, PRIMARY KEY (target, lead)
) WITHOUT ROWID;
-- What map gave up or left out, by topic, and where on details that lay: the newest of each lead.
CREATE TABLE refused (target TEXT, lead, kind TEXT, offset INT, PRIMARY KEY (target, lead)) WITHOUT ROWID;
CREATE TABLE access (key TEXT PRIMARY KEY, state TEXT, until INT, reason TEXT, page TEXT) WITHOUT ROWID;
-- Of each run anew: how far the groups had read, and where what map writes to had ended before.
CREATE TEMP TABLE committed (topic TEXT, partition INT, offset INT, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TEMP TABLE before (topic TEXT, partition INT, offset INT, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
"""
_EXPIRING = ("promise", "fate", "copy", "letter", "details", "mapped")
_CACHE_KIB = 64 * 1024
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_PLACE = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
)

Value = str | int | None
Row = tuple[Value, ...]


class Unusable(Exception):
    """The books do not fit what is there; the text says why. They are to be made anew."""


class NoBooks(Exception):
    """The file cannot be written; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How far a partition was read, and the last record that was seen there."""

    next: int
    offset: int | None
    at: int | None


class Books:
    """`connection` is for the queries of this package only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def stands(self, topic: str) -> Mapping[int, Stand]:
        rows = self.connection.execute("SELECT partition, next, offset, at FROM read WHERE topic = ?", (topic,))
        return {partition: Stand(next=after, offset=offset, at=at) for partition, after, offset, at in rows}

    def write(self, entries: Mapping[str, Iterable[Row]], topic: str, stands: Mapping[int, Stand]) -> None:
        """Rows by their statement, and how far that brings the topic: all of it or nothing."""
        with self.connection:
            for statement, rows in entries.items():
                self.connection.executemany(statement, rows)
            self.connection.executemany(
                "INSERT OR REPLACE INTO read VALUES (?, ?, ?, ?, ?)",
                [(topic, partition, stand.next, stand.offset, stand.at) for partition, stand in stands.items()],
            )

    def go_by(self, committed: Mapping[str, Mapping[int, int]], mapped: Mapping[str, Mapping[int, int]]) -> None:
        """What this run goes by: what was committed, by topic, and where what map writes to had ended
        before that was asked."""
        with self.connection:
            self.connection.execute("DELETE FROM committed")
            self.connection.execute("DELETE FROM before")
            self.connection.executemany(
                "INSERT INTO before VALUES (?, ?, ?)",
                [(topic, *place) for topic, places in mapped.items() for place in places.items()],
            )
            self.connection.executemany(
                "INSERT INTO committed VALUES (?, ?, ?)",
                [(topic, *place) for topic, places in committed.items() for place in places.items()],
            )

    def forget(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Promises from the first origin of each range on, and before the second: they are no longer on raw."""
        with self.connection:
            self.connection.executemany("DELETE FROM promise WHERE origin >= ? AND origin < ?", ranges)

    def expire(self, before: int, *, now: int, every: int) -> None:
        """Forgets what was written before, at most once in `every`; unix milliseconds."""
        [last] = self.connection.execute("SELECT max(value) FROM about WHERE name = 'expired'").fetchone()
        if last is not None and 0 <= now - int(last) < every:
            return
        with self.connection:
            for table in _EXPIRING:
                self.connection.execute(f"DELETE FROM {table} WHERE at < ?", (before,))  # noqa: S608  names of ours
            self.connection.execute("DELETE FROM refused WHERE lead NOT IN (SELECT lead FROM details)")
            self.connection.execute("INSERT OR REPLACE INTO about VALUES ('expired', ?)", (str(now),))


@contextmanager
def open_books(file: Path, *, cluster: str, prefix: str) -> Iterator[Books]:
    """The books of a cluster and a prefix. Unusable, also while they are in use; NoBooks."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        connection = sqlite3.connect(file, timeout=60.0, check_same_thread=False)  # one at a time
    except (OSError, sqlite3.OperationalError) as error:
        raise NoBooks(f"{file} cannot be written ({error}): choose another with --state") from None
    try:
        _prepare(connection, cluster=cluster, prefix=prefix)
        yield Books(connection)
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of it says more than is needed
        if code in _DAMAGED:
            raise Unusable("the file is damaged") from None
        if code in _NO_PLACE:
            raise NoBooks(f"{file} cannot be used ({error}): is there room, and may you write it?") from None
        raise
    finally:
        connection.close()


def delete(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _prepare(connection: sqlite3.Connection, *, cluster: str, prefix: str) -> None:
    # What is committed survives a crash whole; a power cut costs at most the last transactions, and their offsets.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "temp_store = FILE", f"cache_size = -{_CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}")
    ours = {"format": str(_FORMAT), "cluster": cluster, "prefix": prefix}
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        connection.executescript(f"BEGIN; {_TABLES}; COMMIT;")
        with connection:
            connection.executemany("INSERT INTO about VALUES (?, ?)", ours.items())
        return
    connection.executescript(_TABLES[_TABLES.index("CREATE TEMP") :])
    found = dict(connection.execute("SELECT name, value FROM about WHERE name <> 'expired'"))
    if found.get("format") != ours["format"]:
        raise Unusable("it was made by another version")
    if found != ours:
        raise Unusable("it is of another cluster or TOPIC_PREFIX")
