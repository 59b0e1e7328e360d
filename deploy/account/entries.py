"""What each record enters into the books: rows by the statement that takes them. Performs no I/O.

An origin is one number: the topic it names (raw, or that of dead letters for what the door could not read, or details
for what a bulk read or an import put there), partition and offset. Ids are kept as numbers where they are such, which
halves the file.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeGuard

from ingest.details import RICHNESS
from ingest.meta.notification import BadChange, Notification
from ingest.records import ACCESS, AGAIN, CRM, DEAD, DETAILS, FATES, LEADS, PARKED, RAW, RETRY, UPDATES, Received

from .books import Row, Value

Entry = tuple[str, Row]

DOOR = 1 << 60  # from there on, of what was promised: what the door could not read
_TOPICS = ("", "dead", "details", "updates", "again")  # as origins name them: see ingest.records.Received.origin
_PARTITION = 44  # bits for an offset
_PARTITIONS = DOOR >> _PARTITION
_DIGITS = 18  # that fit a signed 64-bit number
_RICHNESS = {str(word): richness for word, richness in RICHNESS.items()}

_PROMISE = "INSERT OR REPLACE INTO promise (origin, page, lead, at, reconciled) VALUES (?, ?, ?, ?, ?)"
_FATE = "INSERT OR REPLACE INTO fate VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COPY = "INSERT OR REPLACE INTO copy VALUES (?, ?, ?, ?, ?)"
_LETTER = "INSERT OR REPLACE INTO letter VALUES (?, ?, ?, ?, ?, ?, ?)"
# On the right of each assignment is what was there before. A comparison with the nothing of a tombstone holds nowhere.
_DETAILS = f"""
INSERT INTO details (lead, origin, partition, offset, at, erased, richness) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    origin = excluded.origin, partition = excluded.partition, offset = excluded.offset, at = excluded.at,
    erased = excluded.erased, richness = excluded.richness,
    richer_at = CASE
        WHEN richness > excluded.richness AND richness >= coalesce(richer, 0) THEN (partition << {_PARTITION}) | offset
        WHEN richer > excluded.richness THEN richer_at
    END,
    richer = CASE
        WHEN richness > excluded.richness AND richness >= coalesce(richer, 0) THEN richness
        WHEN richer > excluded.richness THEN richer
    END
"""  # noqa: S608  a number of ours
_MAPPED = "INSERT OR REPLACE INTO mapped VALUES (?, ?, ?, ?, ?, ?, ?)"
_REFUSED = (
    "INSERT INTO refused VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET kind = excluded.kind, offset = excluded.offset"
    " WHERE excluded.offset >= offset"
)
_ACCESS = "INSERT OR REPLACE INTO access VALUES (?, ?, ?, ?, ?)"
_UNSETTLE = "UPDATE promise SET settled = 0 WHERE origin = ?"
# An answer changes nothing about a record that was fetched before.
_UNSETTLE_OTHERS = "UPDATE promise SET settled = 0 WHERE origin = ? AND settled AND kind <> 'fetched'"


def packed(partition: int, offset: int, *, door: bool = False) -> int:
    return (DOOR if door else 0) | partition << _PARTITION | offset


def of_place(partition: int, offset: int) -> int:
    """The origin of what came to details without having been on raw."""
    return _TOPICS.index("details") * DOOR | packed(partition, offset)


def unpacked(origin: int) -> tuple[bool, int, int]:
    """Whether it is the door's, partition and offset."""
    topic, rest = divmod(origin, DOOR)
    return topic == 1, *at_place(rest)


def place(origin: int) -> str:
    """An origin as headers have it."""
    door, partition, offset = unpacked(origin)
    return f"{'dead:' if door else ''}{partition}@{offset}"


def read_origin(text: str | None) -> int | None:
    """None for what is no origin."""
    topic, _, where = (text or "").rpartition(":")
    partition, _, offset = where.partition("@")
    if not (topic in _TOPICS and _is_number(partition) and _is_number(offset) and int(partition) < _PARTITIONS):
        return None
    return _TOPICS.index(topic) * DOOR | packed(int(partition), int(offset))


def at_place(place: int) -> tuple[int, int]:
    """Partition and offset of what was packed without its topic."""
    return divmod(place, 1 << _PARTITION)


def an_id(text: str | None) -> Value:
    if text is not None and text.isdecimal() and len(text) <= _DIGITS and text[0] != "0":
        return int(text)
    return text


def of_raw(received: Received) -> Iterator[Entry]:
    reconciled = 1 if received.header("source") == "reconcile" else None
    yield _PROMISE, (packed(received.partition, received.offset), *_named(received), received.timestamp, reconciled)


def of_copy(topic: str) -> Callable[[Received], Iterator[Entry]]:
    def entries(received: Received) -> Iterator[Entry]:
        if (origin := read_origin(received.header("origin"))) is not None:
            yield _COPY, (origin, topic, received.partition, received.offset, received.timestamp)

    return entries


def of_update(received: Received) -> Iterator[Entry]:
    """Of updates it is only told what is not read yet: none of them is promised to become a lead."""
    if (origin := read_origin(received.origin)) is not None:
        yield _COPY, (origin, UPDATES, received.partition, received.offset, received.timestamp)


def of_fate(received: Received) -> Iterator[Entry]:
    told = _object(received.value)
    stage, kind, reason = told.get("stage"), told.get("fate"), told.get("reason")
    topic, partition, offset = told.get("topic"), told.get("partition"), told.get("offset")
    origin = read_origin(str(told.get("origin")))
    if not (isinstance(stage, str) and isinstance(kind, str) and isinstance(topic, str)) or origin is None:
        return
    if not (_fits(partition) and _fits(offset)):
        return
    target = _key(received).removeprefix(f"{stage}/{told['origin']}").lstrip("/")
    moved = kind in ("released", "redriven")
    source = (topic, partition, offset)
    yield _FATE, (origin, stage, target, moved, kind, str(reason), received.offset, received.timestamp, *source)
    yield _UNSETTLE, (origin,)
    lead = told.get("lead_id")
    if stage == "map" and kind in ("skipped", "duplicate") and isinstance(lead, str):
        yield _REFUSED, (_topic(target), an_id(lead), kind, offset)


def of_letter(received: Received) -> Iterator[Entry]:
    stage = received.header("stage") or "-"
    own = packed(received.partition, received.offset, door=True)
    origin = read_origin(received.header("origin"))
    reason = received.header("fate-reason") or "-"
    target = received.header("target") or ""
    if stage == "ingest":
        yield _PROMISE, (own, *_named(received), received.timestamp, None)
    at = received.timestamp
    yield _LETTER, (received.partition, received.offset, stage, own if origin is None else origin, target, reason, at)
    offset = received.header("__connect.errors.offset") or ""
    if stage == "map" and received.key is not None and _is_number(offset):
        yield _REFUSED, (_topic(target), an_id(_key(received)), "dead", int(offset))


def of_details(received: Received) -> Iterator[Entry]:
    if received.key is None:
        return
    origin = read_origin(received.header("origin"))
    where = (received.partition, received.offset, received.timestamp)
    yield _DETAILS, (an_id(_key(received)), origin, *where, received.value is None, _richness(received))
    if origin is not None:
        yield _UNSETTLE_OTHERS, (origin,)


def of_lead(received: Received) -> Iterator[Entry]:
    if received.key is None:
        return
    targets = received.header("targets")
    meant = None if targets is None else f",{targets},"
    lead = (an_id(_key(received)), received.timestamp, received.value is None)
    yield _MAPPED, (LEADS, *lead, meant, received.partition, received.offset)


def of_crm(topic: str) -> Callable[[Received], Iterator[Entry]]:
    def entries(received: Received) -> Iterator[Entry]:
        if received.key is not None:
            lead = (an_id(_key(received)), received.timestamp, received.value is None)
            yield _MAPPED, (topic, *lead, None, received.partition, received.offset)

    return entries


def of_access(received: Received) -> Iterator[Entry]:
    told = _object(received.value)
    state, until, reason, page = (told.get(name) for name in ("state", "until", "reason", "page_id"))
    known = state if isinstance(state, str) else "open"
    said = until if _fits(until) else None
    yield _ACCESS, (_key(received), known, said, str(reason), None if page is None else str(page))


def entries_of(crm: Iterable[str]) -> Mapping[str, Callable[[Received], Iterator[Entry]]]:
    """By topic, in the order in which they are read: see taking.py. `crm` are the topics of the targets there are."""
    return {
        FATES: of_fate,
        RAW: of_raw,
        **{topic: of_copy(topic) for topic in (*RETRY, AGAIN, PARKED)},
        UPDATES: of_update,
        DEAD: of_letter,
        DETAILS: of_details,
        LEADS: of_lead,
        **{topic: of_crm(topic) for topic in crm},
        ACCESS: of_access,
    }


def _richness(received: Received) -> int | None:
    if received.value is None:
        return None
    said = received.header("completeness") or ""  # before there was the header, all were full
    return _RICHNESS.get(said, RICHNESS["FULL"])


def _named(received: Received) -> tuple[Value, Value]:
    """The page and the lead; of what cannot be read, its key and nothing."""
    key = None if received.key is None else _key(received)
    try:
        read = Notification.read(received.value or b"", page_id=key)
    except BadChange:
        return an_id(key or "-"), None
    return an_id(read.page_id), an_id(read.lead_id)


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _DIGITS and _fits(int(text))


def _fits(number: object) -> TypeGuard[int]:
    """Somebody else may have written anything there, and one number that the books cannot hold would end them all."""
    return isinstance(number, int) and 0 <= number < 1 << _PARTITION


def _topic(target: str) -> str:
    """What map makes for a target such as sales.v1; without one, all that it makes of a lead."""
    return f"{CRM}{target}" if target else LEADS


def _key(received: Received) -> str:
    return (received.key or b"").decode("utf-8", "replace")


def _object(value: bytes | None) -> Mapping[str, object]:
    try:
        told = json.loads(value or b"{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
