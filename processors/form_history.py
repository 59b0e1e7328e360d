"""What is known of each form: its versions, and since when each was the current one. Performs no I/O of its own.

Fed from `meta.leadgen.forms`, so what one worker has seen, all of them know. Times are unix milliseconds, and those of
our looks: Meta does not tell when a form was edited. A form may go back to a version that it had before.
"""

import json
import zlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from sys import intern
from typing import Literal, Self

from ingest.meta.graph import Json, JsonObject, Snapshot
from ingest.meta.graph.text import canonical, decode, parse
from ingest.records import FORMS, Received, Record
from processors.lead import normalise
from processors.lead.form import read_form
from processors.lead.loose import a_list, a_text, an_object
from schemas import shapes

Kind = Literal["new", "changed", "archived"]

# What is answered though no form asks it: forms that verify by SMS add it.
_UNASKED = frozenset({"phone_number_verified"})
_UNPACKED = 500  # snapshots, of some 10 kB each
_SECOND = 999  # milliseconds from its beginning to its end
_MOMENTS = 100  # of one version; a form that goes back and forth more often keeps the last ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a lead tells of the form it was given on: when, and which questions were answered."""

    at: int | None
    keys: frozenset[str]

    @classmethod
    def read(cls, lead: JsonObject, told_at: int | None) -> Self:
        """From a lead's node, and the `created_time` of its notification: unix seconds."""
        created = normalise.instant(a_text(lead.get("created_time")) or "")
        seconds = told_at if created is None else int(created.timestamp())
        answers = a_list(lead.get("field_data"))
        named = [answer.get("name") for answer in answers if isinstance(answer, dict)]
        names = tuple([name if type(name) is str else a_text(name) for name in named])
        # Meta tells the second, and what we saw within it was there when it ended.
        at = None if seconds is None else seconds * 1000 + _SECOND
        return cls(at=at, keys=_asked(names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a form as it was last told. `keys` are its questions, followers and tracking parameters, sorted.

    Tens of thousands of forms stay in memory: a few kB each.
    """

    form_id: str
    version: str
    page_id: str | None
    seen_at: int
    since: tuple[int, ...]
    status: str | None
    keys: tuple[str, ...]
    packed: bytes = field(repr=False)  # its text

    @property
    def snapshot(self) -> Snapshot:
        return _unpack(self.packed, self.version)

    def explains(self, given: Given) -> bool:
        """Whether it has every question that was answered."""
        return given.keys.issubset(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a look tells that was not known. `record` goes to everyone, then `version` to `FormHistory.put`."""

    kinds: tuple[Kind, ...]
    version: Version
    record: Record


class FormHistory:
    """Takes the records of `meta.leadgen.forms`; keeps every version, packed, as long as the topic does."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[str, Version]] = {}
        self._timelines: dict[str, tuple[tuple[int, Version], ...]] = {}

    def follow(self, received: Received) -> None:
        """A record, as it was read. What cannot be read says nothing."""
        form_id, _, version = (received.key or b"").decode("utf-8", "replace").partition("@")
        if received.value is None:
            self._forget(form_id, version)
        elif (told := _read(received.value)) is not None:
            self.put(told)

    def put(self, told: Version) -> None:
        """A version as it was told. Of two that tell of the same one, what was seen later holds.

        Their moments are joined: two workers may have told of it at once, each without those of the other.
        """
        versions = self._versions.setdefault(told.form_id, {})
        known = versions.get(told.version)
        if known is not None:
            later = told if told.seen_at >= known.seen_at else known
            told = replace(later, since=tuple(sorted({*known.since, *told.since}))[-_MOMENTS:])
        versions[told.version] = told
        self._timelines[told.form_id] = _timeline(versions)

    def current(self, form_id: str) -> Version | None:
        """The version that was seen last."""
        timeline = self._timelines.get(form_id)
        return timeline[-1][1] if timeline else None

    def version_at(self, form_id: str, given: Given) -> Version | None:
        """The version that a lead was given on, as far as we know; None where nothing is known of the form.

        The one that was current at that time, unless it lacks a question that was answered. Then it is the first of
        these that has them all: the next one, which was there before we saw it; the ones before, the latest first, for
        a person who had it open while it was edited; those that came later. Before the first one we know, it is the
        oldest that has them all. Where none has, the one of the time, or the oldest.
        """
        timeline = self._timelines.get(form_id)
        if not timeline:
            return None
        at = len(timeline) if given.at is None else bisect_right(timeline, given.at, key=lambda each: each[0])
        first = timeline[max(at - 1, 0)][1]
        if first.explains(given):  # as nearly always
            return first
        versions = [version for _, version in timeline]
        likely = [*versions[at - 1 : at + 1], *reversed(versions[: at - 1]), *versions[at + 1 :]] if at else versions
        return next((version for version in likely if version.explains(given)), likely[0])

    def news(self, form_id: str, page_id: str, found: Snapshot, *, now: int) -> News | None:
        """What a look at the form has found; None where all of it is known, whoever told it.

        News is another version, another status, or another tracking parameter: the version does not cover those two.
        """
        versions = self._versions.get(form_id, {})
        before, known = self.current(form_id), versions.get(found.version)
        # Rising, also where the clocks of two workers differ: else the earlier word would be taken for the later.
        seen_at = max([now, *(each.seen_at + 1 for each in versions.values())])
        since = known.since if known else ()
        if before is None or before.version != found.version:
            since = (*since, seen_at)[-_MOMENTS:]
        node = parse(found.text)
        version = _version(form_id, page_id, found, seen_at=seen_at, since=since, node=node)
        kinds = _kinds(before, version)
        if not kinds:
            return None
        value: shapes.Form = {
            "form_id": form_id,
            "version": found.version,
            "page_id": page_id,
            "seen_at": seen_at,
            "since": list(since),
            "form": dict(an_object(node)),
        }
        key = f"{form_id}@{found.version}".encode()
        return News(kinds=kinds, version=version, record=Record(topic=FORMS, key=key, value=json.dumps(value).encode()))

    def _forget(self, form_id: str, version: str) -> None:
        versions = self._versions.get(form_id, {})
        versions.pop(version, None)
        if versions:
            self._timelines[form_id] = _timeline(versions)
        else:
            self._versions.pop(form_id, None)
            self._timelines.pop(form_id, None)


def _kinds(before: Version | None, now: Version) -> tuple[Kind, ...]:
    if before is None:
        return ("new",)
    kinds: list[Kind] = []
    if (before.version, before.keys) != (now.version, now.keys):
        kinds.append("changed")
    if now.status not in (None, before.status):
        kinds.append("changed" if now.status == "ACTIVE" else "archived")
    return tuple(dict.fromkeys(kinds))


def _timeline(versions: Mapping[str, Version]) -> tuple[tuple[int, Version], ...]:
    """Each version since each time it became the current one, in order."""
    moments = sorted(((at, each) for each in versions.values() for at in each.since), key=lambda moment: moment[0])
    # Told twice in a row by two workers at once: it became the current one once.
    return tuple(moment for place, moment in enumerate(moments) if not place or moments[place - 1][1] is not moment[1])


def _read(value: bytes) -> Version | None:
    told = an_object(parse(decode(value)))
    form_id, version, page_id, seen_at = (told.get(name) for name in ("form_id", "version", "page_id", "seen_at"))
    since, node = told.get("since", [seen_at]), told.get("form")
    if not (isinstance(form_id, str) and isinstance(version, str) and isinstance(page_id, str | None)):
        return None
    moments = tuple(at for at in a_list(since) if isinstance(at, int))
    if not isinstance(seen_at, int) or not moments or not isinstance(node, dict):
        return None
    found = Snapshot(text=canonical(node), version=version)
    return _version(form_id, page_id, found, seen_at=seen_at, since=moments, node=node)


def _version(
    form_id: str, page_id: str | None, found: Snapshot, *, seen_at: int, since: tuple[int, ...], node: Json
) -> Version:
    form = read_form(found.text)
    return Version(
        form_id=form_id,
        version=found.version,
        page_id=page_id,
        seen_at=seen_at,
        since=since,
        status=a_text(an_object(node).get("status")),
        keys=tuple(sorted(map(intern, form.tracking.union(form.questions)))),  # most forms ask the same
        packed=zlib.compress(found.text.encode()),
    )


@lru_cache(maxsize=_UNPACKED)
def _unpack(packed: bytes, version: str) -> Snapshot:
    return Snapshot(text=zlib.decompress(packed).decode(), version=version)


@lru_cache(maxsize=_UNPACKED)  # the leads of a form answer the same questions
def _asked(names: tuple[str | None, ...]) -> frozenset[str]:
    return frozenset(name for name in names if name) - _UNASKED
