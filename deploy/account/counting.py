"""The account itself, counted from the books: of which interval and page, and everything an operator asks first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from ingest.records import DETAILS, LEADS, RAW

from .books import Books, Value
from .entries import DOOR, an_id, packed, place
from .judging import KINDS, Kind
from .positions import READS, Group, Positions
from .reading import Bounds
from .targets import MapKind, became_on, lost_on

EXAMPLES = 5  # at most, of what is lost in each stage

_AT = "promise.at >= :since AND promise.at < :until AND (:page IS NULL OR promise.page = :page)"
_PAGES = f"SELECT origin >= :door, page, kind, count(*) FROM promise WHERE {_AT} GROUP BY 1, 2, 3"  # noqa: S608  _AT is ours, values are bound
_LOST = f"""
SELECT origin, page, lead, at FROM promise WHERE kind = 'lost' AND settled = 0 AND {_AT} ORDER BY at LIMIT :most
"""  # noqa: S608  _AT is ours, values are bound
_PARKED = f"""
SELECT fate.reason, count(*) FROM fate JOIN promise USING (origin)
WHERE fate.stage = 'fetch' AND NOT fate.moved AND promise.kind = 'parked' AND {_AT} GROUP BY 1
"""  # noqa: S608  _AT is ours, values are bound
# As `leadstream dead list` has it: open until its fate names it, or its record died later or came to another end.
_LETTERS = """
SELECT stage, target, reason, count(*) FROM letter
WHERE at >= :since AND at < :until
AND (:page IS NULL OR EXISTS (SELECT 1 FROM promise WHERE promise.origin = letter.origin AND page = :page))
AND NOT EXISTS (
    SELECT 1 FROM letter AS newer
    WHERE newer.origin = letter.origin AND newer.stage = letter.stage AND newer.target = letter.target
    AND (newer.at, newer.partition, newer.offset) > (letter.at, letter.partition, letter.offset)
) AND coalesce((
    SELECT kind = 'dead' OR (kind = 'redriven' AND (fate.partition, fate.offset) <> (letter.partition, letter.offset))
    FROM fate WHERE fate.origin = letter.origin AND fate.stage = letter.stage AND fate.target = letter.target
    ORDER BY seq DESC LIMIT 1
), 1) GROUP BY 1, 2, 3
"""
_UNREAD_COPIES = """
SELECT min(copy.at) FROM copy LEFT JOIN committed USING (topic, partition)
WHERE topic = ? AND copy.offset >= coalesce(committed.offset, 0)
"""
_UNREAD_DETAILS = """
SELECT min(at) FROM details LEFT JOIN committed ON topic = ? AND committed.partition = details.partition
WHERE details.offset >= coalesce(committed.offset, 0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which records: acknowledged (for map: fetched) from `since` on and before `until`, in unix milliseconds."""

    since: int
    until: int
    page: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostRecord:
    """`at` is <topic> <partition>@<offset> of raw or, for map, of details; `acknowledged` is unix milliseconds.

    `target` is the topic it is missing on, for map.
    """

    stage: Literal["fetch", "map"]
    at: str
    page_id: str | None
    lead_id: str | None
    acknowledged: int
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    count: int
    examples: tuple[LostRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What a group has not read yet: at most so many, where a topic is compacted. `expired` were gone before."""

    records: int
    oldest: int | None  # unix milliseconds
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAccess:
    """An app, a token or a page that may not be asked now."""

    key: str
    state: str
    reason: str
    until: int | None
    page_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What became of all that was acknowledged; times are unix milliseconds.

    `pages` counts the records of raw by page, `door` the door's own dead letters, `targets` the leads on details by
    the topic they are mapped to: leads.v1, and each target's. `notes` are sentences about the books themselves.
    """

    now: int
    asked: Asked
    pages: Mapping[str, Mapping[Kind, int]]
    door: Mapping[Kind, int]
    targets: Mapping[str, Mapping[MapKind, int]]
    lags: Mapping[Group, Lag]
    access: tuple[NoAccess, ...]
    dead: Mapping[tuple[str, str, str], int]  # open dead letters by stage, target (empty for no single one) and reason
    parked: Mapping[str, int]  # by reason
    lost: Lost
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> Mapping[Kind, int]:
        """All pages together."""
        return {kind: sum(counts.get(kind, 0) for counts in self.pages.values()) for kind in KINDS if kind != "open"}

    @property
    def expired(self) -> int:
        """Records that were gone from their topic before their worker had read them."""
        return sum(lag.expired for lag in self.lags.values())

    @property
    def holds(self) -> bool:
        """Whether every acknowledged lead is accounted for."""
        return not (self.lost.count or self.expired)


def count(
    books: Books,
    asked: Asked,
    positions: Positions,
    bounds: Mapping[str, Bounds],
    *,
    now: int,
    notes: tuple[str, ...] = (),
) -> Account:
    """The books must have been settled."""
    connection = books.connection
    values: dict[str, Value] = {"since": asked.since, "until": asked.until, "page": an_id(asked.page)}
    values |= {"door": DOOR, "most": EXAMPLES}
    pages: dict[str, dict[Kind, int]] = {}
    door: dict[Kind, int] = {}
    for of_door, page, kind, number in connection.execute(_PAGES, values):
        counts = door if of_door else pages.setdefault(str(page), {})
        counts[kind] = counts.get(kind, 0) + number
    targets = {topic: became_on(connection, topic, values) for topic in (LEADS, *positions.crm)}
    lost = sum(counts.get("lost", 0) for counts in (*pages.values(), door)) + sum(
        counts.get("lost", 0) for counts in targets.values()
    )
    return Account(
        now=now,
        asked=asked,
        pages=dict(sorted(pages.items())),
        door=door,
        targets=targets,
        lags={group: _lag(books, group, positions, bounds) for group in READS},
        access=tuple(_access(books, now)),
        dead={(stage, target, why): number for stage, target, why, number in connection.execute(_LETTERS, values)},
        parked=dict(connection.execute(_PARKED, values)),
        lost=Lost(count=lost, examples=tuple(_examples(books, targets, values)) if lost else ()),
        notes=notes,
    )


def _examples(
    books: Books, targets: Mapping[str, Mapping[MapKind, int]], values: Mapping[str, Value]
) -> Iterator[LostRecord]:
    for origin, page, lead, at in books.connection.execute(_LOST, values):
        where = place(origin) if origin >= DOOR else f"{RAW} {place(origin)}"
        yield LostRecord(stage="fetch", at=where, page_id=_text(page), lead_id=_text(lead), acknowledged=at)
    for topic in (topic for topic, counts in targets.items() if counts.get("lost")):
        for lead, partition, offset, at in lost_on(books.connection, topic, values):
            where, of = f"{DETAILS} {partition}@{offset}", _text(lead)
            yield LostRecord(stage="map", at=where, page_id=None, lead_id=of, acknowledged=at, target=topic)


def _lag(books: Books, group: Group, positions: Positions, bounds: Mapping[str, Bounds]) -> Lag:
    records = expired = 0
    oldest = []
    for topic in READS[group]:
        committed = positions.committed.get(topic, {})
        for number, (first, end) in bounds[topic].items():
            records += max(0, end - max(first, committed.get(number, first)))
            expired += max(0, first - committed.get(number, first))
        oldest.append(_oldest(books, topic, {number: committed.get(number, 0) for number in bounds[topic]}))
    return Lag(records=records, oldest=min((at for at in oldest if at is not None), default=None), expired=expired)


def _oldest(books: Books, topic: str, committed: Mapping[int, int]) -> int | None:
    """When the oldest record that is not read was written, as far as it is known."""
    if topic == RAW:
        firsts = [
            books.connection.execute(
                "SELECT at FROM promise WHERE origin >= ? AND origin < ? ORDER BY origin LIMIT 1",
                (packed(number, offset), packed(number + 1, 0)),
            ).fetchone()
            for number, offset in committed.items()
        ]
        return min((row[0] for row in firsts if row), default=None)
    [at] = books.connection.execute(_UNREAD_DETAILS if topic == DETAILS else _UNREAD_COPIES, (topic,)).fetchone()
    return None if at is None else int(at)


def _access(books: Books, now: int) -> Iterator[NoAccess]:
    rows = books.connection.execute(
        "SELECT key, state, reason, until, page FROM access WHERE state <> 'open' ORDER BY 1"
    )
    for key, state, reason, until, page in rows:
        if state != "paused" or until is None or until > now:
            yield NoAccess(key=key, state=state, reason=reason, until=until, page_id=page)


def _text(value: Value) -> str | None:
    return None if value is None else str(value)
