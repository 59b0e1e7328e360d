"""Which dead letters are open: decided from dead letters and fates alone, without a database. Performs no I/O.

A dead letter is open until one of these is there, and whatever is unclear leaves it open:
    redriven     a fate says that this very dead letter was sent back
    superseded   the same record died again later, or came to another end
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from ingest.meta.notification import BadChange, Notification, id_or_none
from ingest.meta.update import Update
from ingest.records import Received, headers

State = Literal["open", "redriven", "superseded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter. `page_id` is None for stage map, whose records do not tell it outside their Avro."""

    received: Received  # its header `origin` is always there
    page_id: str | None
    lead_id: str | None
    notification: Notification | None  # of stage ingest and fetch, where it can be read

    @property
    def stage(self) -> str:
        """ingest, fetch, map or update; `-` where somebody else has written."""
        return self.received.header("stage") or "-"

    @property
    def reason(self) -> str:
        return self.received.header("fate-reason") or "-"

    @property
    def target(self) -> str | None:
        """The one target that map could not make, as sales.v1; None where it could not make anything."""
        return self.received.header("target")

    @property
    def fields(self) -> tuple[str, ...]:
        """Of that target's mapping file, those that failed."""
        said = self.received.header("field")
        return tuple(said.split(",")) if said else ()

    @property
    def place(self) -> str:
        """<partition>@<offset> on the topic of dead letters."""
        return _place(self.received)

    @property
    def identity(self) -> str:
        """The key of its fate."""
        return f"{self.stage}/{self.received.origin}" + (f"/{self.target}" if self.target else "")

    @property
    def attempt(self) -> int:
        said = self.received.header("attempt") or ""
        return int(said) if said.isdecimal() else 1

    @property
    def failed_at(self) -> datetime:
        return datetime.fromtimestamp(self.received.timestamp / 1000, tz=UTC)


def read_letter(received: Received) -> Letter:
    """A record of the topic of dead letters.

    One of the door was never read from a topic: its own place is its origin, as `dead:<partition>@<offset>`.
    """
    if received.header("origin") is None:
        received = replace(received, headers=received.headers + headers({"origin": f"dead:{_place(received)}"}))
    key = None if received.key is None else received.key.decode("utf-8", "replace")
    if received.header("stage") == "map":
        return Letter(received=received, page_id=None, lead_id=key, notification=None)
    if received.header("stage") == "update":
        return Letter(received=received, page_id=_page_of_update(received), lead_id=key, notification=None)
    try:
        notification = Notification.read(received.value or b"", page_id=key)
    except BadChange:
        return Letter(received=received, page_id=key, lead_id=None, notification=None)
    return Letter(
        received=received,
        page_id=notification.page_id,
        lead_id=notification.lead_id,
        notification=notification,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is asked for; None asks for all."""

    stage: str | None = None
    reason: str | None = None
    target: str | None = None
    page_id: str | None = None
    lead_id: str | None = None
    since: datetime | None = None

    def __call__(self, letter: Letter) -> bool:
        asked = (
            (self.stage, letter.stage),
            (self.reason, letter.reason),
            (self.target, letter.target),
            (self.page_id, letter.page_id),
            (self.lead_id, letter.lead_id),
        )
        return all(wanted is None or wanted == found for wanted, found in asked) and (
            self.since is None or letter.failed_at >= self.since
        )


class Ledger:
    """Takes all dead letters, then all fates; knows the state of each. It holds no value of any of them."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int, int]] = {}  # partition, offset, timestamp
        self._ends: dict[str, tuple[str, str]] = {}  # of those: the last fate that is not `dead`, and whose

    def take_letter(self, letter: Letter) -> None:
        received = letter.received
        before = self._newest.get(letter.identity)
        if before is None or _is_later(received, before):
            self._newest[letter.identity] = (received.partition, received.offset, received.timestamp)

    def take_fate(self, received: Received) -> None:
        identity = (received.key or b"").decode("utf-8", "replace")
        if identity not in self._newest:
            return
        for fate, place in _fate(received):
            if fate == "dead":
                self._ends.pop(identity, None)
            else:
                self._ends[identity] = (fate, place)

    def state(self, letter: Letter) -> State:
        newest = self._newest.get(letter.identity)
        # First of all: a copy may have died again before its `redriven` was told, or after.
        if newest is not None and newest[:2] != (letter.received.partition, letter.received.offset):
            return "superseded"
        fate, place = self._ends.get(letter.identity, ("dead", ""))
        if fate == "redriven" and place == letter.place:
            return "redriven"
        # A `redriven` that names another one is about the one before.
        return "open" if fate in ("dead", "redriven") else "superseded"


def _page_of_update(received: Received) -> str | None:
    """As far as it can be read: the page that it names, else the one of the entry it came in."""
    entry = received.header("entry-id")
    try:
        return Update.read(received.value or b"", page_id=entry).page_id
    except BadChange:
        return id_or_none(entry)


def _fate(received: Received) -> Iterator[tuple[str, str]]:
    """The fate and the place it names; nothing where it cannot be read, and then it closes nothing."""
    try:
        told = json.loads(received.value or b"")
        yield str(told["fate"]), f"{told['partition']}@{told['offset']}"
    except (ValueError, KeyError, TypeError):
        return


def _is_later(received: Received, than: tuple[int, int, int]) -> bool:
    partition, offset, timestamp = than
    # One key, one partition: time has to do only for those without a key.
    return received.offset > offset if received.partition == partition else received.timestamp > timestamp


def _place(received: Received) -> str:
    return f"{received.partition}@{received.offset}"
