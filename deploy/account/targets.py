"""What became of each lead on its way to leads.v1 and to each target of a mapping file, counted from the books.

On leads.v1 is everyone. Who is meant for a target is said by the lead on leads.v1 itself, in its header `targets`. What
lies on these topics may accuse only if it was there before the groups' offsets were asked for: see taking.py. A lead
that is missing on leads.v1, and of which nothing says for whom it was meant, is lost there alone.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Literal

from ingest.records import CRM, DETAILS, LEADS

from .books import Value

MapKind = Literal["mapped", "erased", "dead", "skipped", "duplicate", "unread", "lost"]
MAP_KINDS: tuple[MapKind, ...] = ("mapped", "erased", "dead", "skipped", "duplicate", "unread", "lost")

_FOR_EVER = 2**62

# Map gives what it makes the timestamp of its details: so one that is as old was made of them, or of newer ones.
_AS_IT_LIES = """
    WHEN mapped.at >= details.at THEN CASE WHEN mapped.erased THEN 'erased' ELSE 'mapped' END
    WHEN refused.offset >= details.offset THEN refused.kind
"""
# Of an erased lead there is a tombstone, or nothing any more.
_STILL_TO_COME = """
    WHEN details.offset >= coalesce(committed.offset, 0) OR mapped.offset >= coalesce(own.offset, 0) THEN 'unread'
    WHEN details.erased THEN CASE WHEN mapped.lead IS NULL THEN 'erased' ELSE 'lost' END
"""
_OF_WHAT_IS_ASKED = """
    LEFT JOIN mapped ON mapped.target = :topic AND mapped.lead = details.lead
    LEFT JOIN refused ON refused.target = :topic AND refused.lead = details.lead
    LEFT JOIN before AS own ON own.topic = :topic AND own.partition = mapped.partition
    LEFT JOIN committed ON committed.topic = :details AND committed.partition = details.partition
    WHERE details.at >= :since AND details.at < :until
    AND (:page IS NULL OR details.lead IN (SELECT lead FROM promise WHERE page = :page))
"""
_ON_LEADS = f"""
    SELECT details.*, CASE {_AS_IT_LIES} {_STILL_TO_COME} ELSE 'lost' END AS kind
    FROM details {_OF_WHAT_IS_ASKED}
"""  # noqa: S608  all parts are ours, values are bound
_ON_TARGET = f"""
    SELECT details.*, CASE {_AS_IT_LIES}
    WHEN whole.offset >= details.offset AND coalesce(lead.at < details.at, 1) THEN whole.kind {_STILL_TO_COME}
    WHEN instr(lead.meant, :meant) THEN CASE WHEN lead.offset < before.offset THEN 'lost' ELSE 'unread' END
    WHEN lead.at >= details.at THEN 'skipped' END AS kind
    FROM details
    LEFT JOIN mapped AS lead ON lead.target = :leads AND lead.lead = details.lead
    LEFT JOIN before ON before.topic = :leads AND before.partition = lead.partition
    LEFT JOIN refused AS whole ON whole.target = :leads AND whole.lead = details.lead {_OF_WHAT_IS_ASKED}
"""  # noqa: S608  all ours, values bound


def became_on(connection: sqlite3.Connection, topic: str, values: Mapping[str, Value]) -> dict[MapKind, int]:
    """How many leads became what there. `values` are since, until and page."""
    leads, bound = _leads(topic, values)
    found = f"SELECT kind, count(*) FROM ({leads}) WHERE kind IS NOT NULL GROUP BY 1"  # noqa: S608  all ours, values bound
    return dict(connection.execute(found, bound))


def lost_on(
    connection: sqlite3.Connection, topic: str, values: Mapping[str, Value]
) -> Iterable[tuple[Value, int, int, int]]:
    """Lead, and partition, offset and time of its details, of those that are lost there; `values` has `most` too."""
    leads, bound = _leads(topic, values)
    found = f"SELECT lead, partition, offset, at FROM ({leads}) WHERE kind = 'lost'"  # noqa: S608  all ours, values bound
    return connection.execute(f"{found} ORDER BY at LIMIT :most", bound)


def became_of(connection: sqlite3.Connection, leads: str) -> Mapping[Value, MapKind]:
    """What became of each of some leads on leads.v1; `leads` are a list of them in JSON."""
    found, bound = _leads(LEADS, {"since": 0, "until": _FOR_EVER, "page": None, "wanted": leads})
    asked = f"SELECT lead, kind FROM ({found}) WHERE lead IN (SELECT value FROM json_each(:wanted))"  # noqa: S608  all ours, values bound
    return dict(connection.execute(asked, bound))


def _leads(topic: str, values: Mapping[str, Value]) -> tuple[str, Mapping[str, Value]]:
    own = {"topic": topic, "meant": f",{topic.removeprefix(CRM)},", "details": DETAILS, "leads": LEADS}
    return _ON_LEADS if topic == LEADS else _ON_TARGET, {**values, **own}
