"""Every record we write has one of these shapes and only these headers. Performs no I/O of its own.

The value is Meta's; what we say about it is a header. Headers are UTF-8 text, never personal, never secret.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, **how: Any) -> Any:
        """`dataclass`, frozen for who reads the code and for mypy only.

        Python makes a frozen one field by field through `object.__setattr__`, which takes twice the time; each lead is
        half a dozen records on its way.
        """
        return dataclass(unsafe_hash=frozen, **how)


RAW = "meta.leadgen.raw"
UPDATES = "meta.leadgen.updates"
OTHER = "meta.webhook.other"
AGAIN = "meta.leadgen.again"
RETRY = ("meta.leadgen.retry.1m", "meta.leadgen.retry.10m", "meta.leadgen.retry.1h")  # the ladder, its first rung first
PARKED = "meta.leadgen.parked"
DEAD = "meta.leadgen.dead"
FATES = "meta.leadgen.fates"
ACCESS = "meta.access"
FORMS = "meta.leadgen.forms"
DETAILS = "meta.leadgen.details"
LEADS = "leads.v1"
LEAD_UPDATES = "leads.updates.v1"
CRM = "leads.crm."  # and <target>.v<version>, one topic for each mapping file

HeaderName = Literal[
    "source",  # which door: webhook, backfill, reconcile, import
    "delivery",  # the POST it came in, so that the changes of one delivery can be told from another's
    "received-at",  # unix milliseconds at our door
    "entry-id",  # Meta's entry.id: the page, or "0" for the dashboard's sample
    "entry-time",  # Meta's entry.time: when the notification was sent, not when the lead was made
    # <partition>@<offset> of the raw record it came from; dead:... of the door's dead letter, updates:... of an update
    "origin",
    "stage",  # where it failed: ingest, fetch, map, update
    "fate-reason",  # why, as one word from a closed list
    "attempt",  # which try this is, from 1; a pause uses none up, a redrive is one more, a release begins anew
    "first-failed-at",  # unix milliseconds
    "completeness",  # of a details record, as its value says: FULL, REDUCED, EXPORT; so that nobody has to decode it
    "form-version",  # sha256 of the form's snapshot the lead was mapped with
    "mapping",  # content hash of the mapping file that made a CRM record
    "targets",  # on leads.v1: the targets whose filter took the lead, comma-separated, as sales.v1; empty for none
    "target",  # of a dead letter of map: the one target it is for; without it, all that map makes of the record
    "field",  # the fields of that target's mapping file that failed, comma-separated
    # Kafka Connect's own names, so that its users' dead-letter tools read ours too.
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.stage",
    "__connect.errors.exception.class.name",
]
Headers = tuple[tuple[str, bytes], ...]
Stage = Literal["ingest", "fetch", "map", "update"]
# The ordinary outcome is told by the output's own `origin`, and by `fetched` where it came after another fate.
# `redriven` and `released`: what lay dead or parked at these coordinates went back. Those and `waiting` go on by
# themselves, the others are ends until somebody acts.
Fate = Literal["fetched", "waiting", "parked", "released", "dead", "redriven", "skipped", "duplicate"]


def headers(values: Mapping[HeaderName, str | int]) -> Headers:
    """Headers as Kafka carries them."""
    return tuple((name, str(value).encode()) for name, value in values.items())


def header(of: Sequence[tuple[str, bytes | None]], name: HeaderName) -> str | None:
    """The last value of a header, as Kafka's own readers take it; None when it is not there, or null."""
    for key, value in reversed(of):
        if key == name:
            return None if value is None else value.decode("utf-8", "replace")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Topic, group and subject names under one `TOPIC_PREFIX`, so that tests and tenants share a cluster."""

    prefix: str = ""

    def __call__(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def group(self, worker: Literal["fetch", "map", "retry", "updates"]) -> str:
        return f"{self.prefix}leadstream-{worker}"

    def subject(self, name: str) -> str:
        return f"{self.prefix}{name}-value"


@record(frozen=True, slots=True, kw_only=True)
class Record:
    """What is about to be produced, topic name without its prefix. A `value` of None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None  # unix milliseconds; None is the time of producing


def raw_record(key: bytes, value: bytes, said: Headers) -> Record:
    """A record for raw. A delivery is a thousand of them, and a constructor with names takes three times as long."""
    made = _new(Record)
    made.topic, made.key, made.value, made.headers, made.timestamp = RAW, key, value, said, None  # type: ignore[misc]  # frozen from here on
    return made


@record(frozen=True, slots=True, kw_only=True)
class Received:
    """What was consumed: a record, where it lay, and its timestamp in unix milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int

    def header(self, name: HeaderName) -> str | None:
        return header(self.headers, name)

    @property
    def origin(self) -> str:
        """The raw record this came from: its header says, or it *is* the raw record.

        What somebody else has put on a later topic, without one, has an origin there: `again:<partition>@<offset>`.
        """
        where = "" if self.topic.endswith(RAW) else f"{self.topic.rpartition('.')[2]}:"
        return self.header("origin") or f"{where}{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a record goes no further. `error` is a class name: an error's text may quote a person's answer."""

    stage: Stage
    reason: str
    error: str
    target: str | None = None
    fields: tuple[str, ...] = ()


def dead_letter(of: Received, failure: Failure, *, now: int) -> Record:
    """The record as it was, bytes untouched, with what went wrong as headers. `now` is unix milliseconds."""
    said = headers(
        {
            "stage": failure.stage,
            "fate-reason": failure.reason,
            "origin": of.origin,
            "attempt": of.header("attempt") or 1,
            "first-failed-at": of.header("first-failed-at") or now,
            "__connect.errors.topic": of.topic,
            "__connect.errors.partition": of.partition,
            "__connect.errors.offset": of.offset,
            "__connect.errors.stage": failure.stage,
            "__connect.errors.exception.class.name": failure.error,
            **({"target": failure.target, "field": ",".join(failure.fields)} if failure.target else {}),
        }
    )
    ours = {name for name, _ in said}
    kept = tuple(pair for pair in of.headers if pair[0] not in ours)
    return Record(topic=DEAD, key=of.key, value=of.value, headers=kept + said)


def set_aside(of: Received, topic: str, *, reason: str, attempt: int, now: int) -> Record:
    """The record as it was, for a topic where it waits: a rung of the ladder, or parked. `now` is unix milliseconds.

    `attempt` is the number of the try it waits for, or of the last one where it is parked.
    """
    said = headers(
        {
            "fate-reason": reason,
            "origin": of.origin,
            "attempt": attempt,
            "first-failed-at": of.header("first-failed-at") or now,
        }
    )
    ours = {name for name, _ in said}
    kept = tuple(pair for pair in of.headers if pair[0] not in ours)
    return Record(topic=topic, key=of.key, value=of.value, headers=kept + said)


def sent_again(of: Received, *, without: Collection[HeaderName] = ()) -> Record:
    """A record that waited, on its way to `work fetch`: as it was, less the headers that no longer hold."""
    kept = tuple(pair for pair in of.headers if pair[0] not in without)
    return Record(topic=AGAIN, key=of.key, value=of.value, headers=kept)


def fate_record(
    of: Received,
    fate: Fate,
    *,
    stage: Stage,
    reason: str,
    page_id: str | None,
    lead_id: str | None,
    target: str | None = None,
) -> Record:
    """What became of a record, for the account: one per stage, origin and target, the last one wins."""
    told = {
        "fate": fate,
        "stage": stage,
        "origin": of.origin,
        "reason": reason,
        "page_id": page_id,
        "lead_id": lead_id,
        "topic": of.topic,
        "partition": of.partition,
        "offset": of.offset,
    }
    identity = f"{stage}/{of.origin}" + (f"/{target}" if target else "")
    return Record(topic=FATES, key=identity.encode(), value=json.dumps(told).encode())


_new = object.__new__
