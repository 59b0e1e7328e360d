"""Brings the books up to date: every record that is not at an end yet is judged again, in bounded memory."""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.records import AGAIN, PARKED, RAW, RETRY

from .books import Books, Value
from .entries import DOOR, packed, unpacked
from .judging import Copy, Evidence, Kind, Told, judge

_AT_ONCE = 5_000
# What changes only when something new is told of the record, and what only when fetch has read it.
SETTLED: Mapping[Kind, int] = {"fetched": 1, "parked": 1, "dead": 1, "skipped": 1, "duplicate": 1, "unread": 2}
# The ordinary end of a raw record, and nothing else was ever told of it.
_ORDINARY = """
UPDATE promise SET kind = 'fetched', settled = 1
WHERE settled = 0 AND origin < ?
AND NOT EXISTS (SELECT 1 FROM fate WHERE fate.origin = promise.origin AND fate.stage <> 'map')
AND EXISTS (
    SELECT 1 FROM details WHERE details.lead = promise.lead
    AND (details.origin = promise.origin OR details.at >= promise.at)
)
"""
_READ_SINCE = "UPDATE promise SET settled = 0 WHERE settled = 2 AND origin >= ? AND origin < ?"
_OPEN = """
SELECT promise.origin, promise.at, details.origin, details.at
FROM promise LEFT JOIN details ON details.lead = promise.lead
WHERE settled = 0 AND promise.origin > ? ORDER BY promise.origin LIMIT ?
"""
# That of the door is about the letter, that of fetch about what came of it: it comes last and takes its place.
_FATES = """
SELECT promise.origin, fate.moved, fate.kind, fate.seq, fate.at, fate.topic, fate.partition, fate.offset
FROM promise CROSS JOIN fate USING (origin)
WHERE promise.settled = 0 AND promise.origin BETWEEN ? AND ? AND fate.stage IN ('ingest', 'fetch')
ORDER BY fate.stage DESC
"""
_COPIES = """
SELECT promise.origin, copy.topic, copy.partition, copy.offset, copy.at, copy.offset >= coalesce(committed.offset, 0)
FROM promise CROSS JOIN copy USING (origin) LEFT JOIN committed USING (topic, partition)
WHERE promise.settled = 0 AND promise.origin BETWEEN ? AND ?
"""
_LETTERS = """
SELECT promise.origin, max(letter.at) FROM promise CROSS JOIN letter USING (origin)
WHERE promise.settled = 0 AND promise.origin BETWEEN ? AND ? AND letter.stage = 'fetch' GROUP BY promise.origin
"""


@dataclass(slots=True)
class _Found:
    """What is told of one record."""

    told: dict[bool, Told] = field(default_factory=dict)  # by whether it was sent back
    copies: dict[str, Copy] = field(default_factory=dict)
    letter: int | None = None


def settle(books: Books, again: str) -> None:
    """Judges what is open, by the offsets that the groups have committed. `again` is that topic with its prefix."""
    connection = books.connection
    committed = dict(connection.execute("SELECT partition, offset FROM committed WHERE topic = ?", (RAW,)))
    with connection:
        read = [(packed(number, 0), packed(number, offset)) for number, offset in committed.items()]
        connection.executemany(_READ_SINCE, read)
        connection.execute(_ORDINARY, (DOOR,))
    after = -1
    while rows := connection.execute(_OPEN, (after, _AT_ONCE)).fetchall():
        after = rows[-1][0]
        found = _find(connection, rows[0][0], after, again)
        kinds = [(judge(_evidence(row, found[row[0]], committed)), row[0]) for row in rows]
        with connection:
            connection.executemany(
                "UPDATE promise SET kind = ?, settled = ? WHERE origin = ?",
                [(kind, SETTLED.get(kind, 0), origin) for kind, origin in kinds],
            )


def _find(connection: sqlite3.Connection, first: int, last: int, again: str) -> Mapping[int, _Found]:
    found: dict[int, _Found] = defaultdict(_Found)
    for origin, moved, kind, seq, at, topic, *place in connection.execute(_FATES, (first, last)):
        source = (place[0], place[1]) if topic == again else None
        found[origin].told[bool(moved)] = Told(kind=kind, seq=seq, at=at, source=source)
    for origin, topic, partition, offset, at, unread in connection.execute(_COPIES, (first, last)):
        found[origin].copies[topic] = Copy(at=at, unread=bool(unread), place=(partition, offset))
    for origin, at in connection.execute(_LETTERS, (first, last)):
        found[origin].letter = at
    return found


def _evidence(row: tuple[int, int, Value, int | None], found: _Found, committed: Mapping[int, int]) -> Evidence:
    origin, at, details_of, details_at = row
    door, partition, offset = unpacked(origin)
    parked = found.copies.get(PARKED)
    return Evidence(
        at=at,
        unread=not door and offset >= committed.get(partition, 0),
        door=door,
        own_details=details_at if details_of == origin else None,
        lead_details=details_at,
        told=found.told.get(False),
        moved=found.told.get(True),
        again=found.copies.get(AGAIN),
        rungs=tuple(found.copies[rung] for rung in RETRY if rung in found.copies),
        parked=parked.at if parked else None,
        letter=found.letter,
    )
