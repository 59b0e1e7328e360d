"""What Meta listed in this run, lead by lead: on disk and not in memory, so that a form of millions fits.

It goes with the run. What was announced lies on raw, and there the next run finds it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.reconcile import Listed, Standing

AT_ONCE = 1_000  # leads that are looked up in one go

# Of whom all are here there is nothing left to do, and those are nearly all.
_OPEN = "kind NOT IN ('here', 'erased')"
_TABLES = f"""
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
CREATE TABLE lead (
    lead TEXT PRIMARY KEY, page TEXT, form TEXT, created INT, kind TEXT, reason TEXT, sent INT NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX open ON lead (kind, lead) WHERE {_OPEN};
"""
_WHAT = "lead, page, form, created"


class Place(NamedTuple):
    page_id: str
    form_id: str


class Found(NamedTuple):
    lead: Listed
    place: Place


@dataclass(slots=True)
class Tally:
    """Of a form: how many leads stand how; of those that were announced in this run, all and the ones that are here."""

    standings: dict[Standing, int] = field(default_factory=dict)
    sent: int = 0
    recovered: int = 0


class ListedLeads:
    """Made by `open_listed`; used by one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, place: Place, found: Iterable[tuple[Listed, Standing]]) -> None:
        """A lead that is named twice, as in a list that was begun again, is one."""
        rows = [(lead.lead_id, *place, lead.created_time, *stands) for lead, stands in found]
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO lead (lead, page, form, created, kind, reason) VALUES (?, ?, ?, ?, ?, ?)", rows
            )

    def put(self, found: Mapping[str, Standing], *, sent: bool = False) -> None:
        """How leads stand by now; `sent` where they were just announced."""
        rows = [(*stands, sent, lead) for lead, stands in found.items()]
        with self._connection:
            self._connection.executemany(
                "UPDATE lead SET kind = ?, reason = ?, sent = max(sent, ?) WHERE lead = ?", rows
            )

    def missing(self, most: int) -> list[Found]:
        """Some of the missing ones."""
        some = f"SELECT {_WHAT} FROM lead WHERE {_OPEN} AND kind = 'missing' LIMIT ?"  # noqa: S608  words of ours
        return [_found(*row) for row in self._connection.execute(some, (most,))]

    def under_way(self) -> Iterator[list[Found]]:
        """The announced ones that are still to come, some at a time. They may be `put` meanwhile."""
        return self._some(f"{_OPEN} AND kind = 'coming' AND sent")

    def open(self) -> Iterator[list[Found]]:
        """All that are not here, some at a time. They may be `put` meanwhile."""
        return self._some(_OPEN)

    def tallies(self) -> Mapping[Place, Tally]:
        """By form, of which anything was listed."""
        found: dict[Place, Tally] = defaultdict(Tally)
        asked = "SELECT page, form, kind, reason, count(*), sum(sent) FROM lead GROUP BY 1, 2, 3, 4"
        for page, form, kind, reason, number, sent in self._connection.execute(asked):
            tally = found[Place(page, form)]
            tally.standings[Standing(kind, reason)] = number
            tally.sent += sent
            tally.recovered += sent if kind == "here" else 0
        return found

    def _some(self, which: str) -> Iterator[list[Found]]:
        # By kind and lead, as the index has them. What is put meanwhile under a later kind may be met again.
        at: tuple[str, str] = ("", "")
        some = f"SELECT kind, {_WHAT} FROM lead WHERE {which} AND (kind, lead) > (?, ?) ORDER BY kind, lead LIMIT ?"  # noqa: S608  words of ours
        while rows := self._connection.execute(some, (*at, AT_ONCE)).fetchall():
            at = rows[-1][:2]
            yield [_found(*row[1:]) for row in rows]


@contextmanager
def open_listed() -> Iterator[ListedLeads]:
    """A file without a name, in the folder for temporary ones: it is gone with the process, however that ends."""
    with closing(sqlite3.connect("")) as connection:
        connection.executescript(_TABLES)
        yield ListedLeads(connection)


def _found(lead: str, page: str, form: str, created: int) -> Found:
    return Found(Listed(lead, created), Place(page, form))
