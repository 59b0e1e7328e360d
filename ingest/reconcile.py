"""Reconciliation: how each lead that Meta has stands with us, and of a form's leads the one number. Performs no I/O.

    here       it lies on leads.v1
    erased     it was here, and a tombstone has its place: that is as good as here
    coming     it comes by itself: it is to be read, waits for a next try, is being mapped; or its webhook is on its way
    parked     it is waiting for access to be repaired, and comes by itself then
    dead       it was given up, by fetch or by map; a person has to look, and then `dead redrive` brings it
    left out   map has left it out or passed it over; `replay map` brings it
    missing    nobody here has heard of it, or it lies dead for not having been there, and it is there now

What is missing is announced on raw as Meta would have, and goes the way of every lead. That is done once: what was
announced by us and is still not to be read lies dead, and says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ingest.meta.graph.bulk import CountedForm
from ingest.records import RAW, Record, headers
from ingest.whereabouts import Whereabouts

Kind = Literal["here", "erased", "coming", "parked", "dead", "left out", "missing"]

# What a lead at Meta cannot have died of: the token could not see it then, and the list shows it now.
_WAS_NOT_THERE = ("not-found", "expired")


class Standing(NamedTuple):
    """`reason` is a word, and for what map did `map` and a word; of what comes, it is whom or what it waits for."""

    kind: Kind
    reason: str = ""


class Listed(NamedTuple):
    """A lead as Meta lists it; `created_time` is unix seconds."""

    lead_id: str
    created_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormReport:
    """How many of a form's leads stand how. `standings` are of all that are at Meta.

    `sent` are those that were missing and were announced by us, `recovered` the ones of these that are here by now.
    `counters` are None where only a part of the form was asked for or given, or Meta did not give them. `whole` is
    whether Meta gave all of what was asked for.
    """

    page_id: str
    form_id: str
    standings: Mapping[Standing, int] = field(default_factory=dict)
    recovered: int = 0
    sent: int = 0
    counters: CountedForm | None = None
    whole: bool = True

    def number(self, kind: Kind) -> int:
        return sum(number for standing, number in self.standings.items() if standing.kind == kind)

    def why(self, kind: Kind) -> Mapping[str, int]:
        """By reason, the most frequent first."""
        found = ((standing.reason, number) for standing, number in self.standings.items() if standing.kind == kind)
        return dict(sorted(found, key=lambda each: (-each[1], each[0])))

    @property
    def at_meta(self) -> int:
        """Leads that Meta lists: all that can be had."""
        return sum(self.standings.values())

    @property
    def had(self) -> int:
        """Of those, the ones that are here, or were until they were erased."""
        return self.number("here") + self.number("erased")

    @property
    def completeness(self) -> float | None:
        """`had` of `at_meta` in percent, see `percent`; None also where nobody knows how many more there are."""
        return percent(self.had, self.at_meta) if self.whole else None

    @property
    def not_listed(self) -> int:
        """How many more leads the form's counter says than Meta lists: they cannot be had any more."""
        counted = self.counters.leads if self.counters else None
        return max(0, (counted or 0) - self.at_meta)

    @property
    def expired(self) -> int:
        """Of those, the ones that Meta says have expired."""
        return min(self.not_listed, (self.counters.expired if self.counters else None) or 0)


def percent(part: int, whole: int) -> float | None:
    """In hundredths of a percent, cut and never rounded up: 100.0 is all of it. None where there is nothing to have."""
    return (10_000 * part // whole) / 100 if whole else None


def standing(found: Whereabouts | None) -> Standing:
    """How a lead stands that Meta has; None is one of which nobody here has heard."""
    match found:
        case Whereabouts(mapped=True):
            return Standing("here")
        case Whereabouts(erased=True):
            return Standing("erased")
        case Whereabouts(details=None):
            return _of_fetch(found)
        case Whereabouts():
            return _of_map(found)
    return Standing("missing")


def _of_fetch(found: Whereabouts) -> Standing:
    match found.fate:
        case "waiting":
            return Standing("coming", "retry")
        case "unread":
            return Standing("coming", "fetch")
        case "parked":
            return Standing("parked", found.reason or "-")
        case "dead" if found.reconciled or found.reason not in _WAS_NOT_THERE:
            return Standing("dead", found.reason or "-")
    return Standing("missing")  # also what was passed over


def _of_map(found: Whereabouts) -> Standing:
    match found.unmapped:
        case "unread" | None:
            return Standing("coming", "map")
        case "dead":
            return Standing("dead", f"map {found.unmapped_reason or '-'}")
        case left:
            return Standing("left out", f"map {left}")


def announcement(lead: Listed, *, page_id: str, form_id: str, run: str, now: int) -> Record:
    """The raw record of a lead that Meta has not told of, as Meta's own would be. `now` is unix milliseconds.

    `run` is an id of the reconciliation, in the place of that of a delivery.
    """
    change = {
        "field": "leadgen",
        "value": {
            "leadgen_id": lead.lead_id,
            "page_id": page_id,
            "form_id": form_id,
            "created_time": lead.created_time,
        },
    }
    said = headers(
        {
            "source": "reconcile",
            "delivery": run,
            "received-at": now,
            "entry-id": page_id,
            "entry-time": now // 1000,
        }
    )
    value = json.dumps(change, separators=(",", ":")).encode()
    return Record(topic=RAW, key=page_id.encode(), value=value, headers=said)
