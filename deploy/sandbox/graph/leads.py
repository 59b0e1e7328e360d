"""The leads of one form: how many, when, which are gone; and what Meta would answer about one of them.

Leads are numbered in the order they were made and come in runs, so a million of them cost a few bytes until somebody
lists them.
"""

import random
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from deploy.sandbox.graph.answers import invent_answers
from deploy.sandbox.graph.chance import chance_of, digits, pick
from deploy.sandbox.graph.facts import LeadCrafted, LeadsMade
from deploy.sandbox.graph.forms import Form

RETENTION = 90 * 24 * 3600
"""Seconds a lead can be read after it was submitted (domain notes, section 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """One lead: the n-th of `form` (the version it was filled in on), submitted at `created` (unix seconds)."""

    form: Form
    n: int
    lead_id: str
    created: int
    crafted: LeadCrafted | None

    @property
    def is_test(self) -> bool:
        """Made by the testing tool or the test_leads edge."""
        return self.crafted is not None and self.crafted.is_test

    @property
    def ad_slot(self) -> int | None:
        """Which of the form's ads it came through; None for an organic lead, as every test lead is."""
        return None if self.is_test else self.form.ad_slot(self.n)


@dataclass(slots=True)
class FormLeads:
    """The leads of one form."""

    count: int = 0
    crafted: dict[int, LeadCrafted] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    _firsts: list[int] = field(default_factory=list)
    _runs: list[LeadsMade] = field(default_factory=list)
    _order: "array[int]" = field(default_factory=lambda: array("q"))
    _ordered_runs: int = 0

    def add(self, run: LeadsMade) -> None:
        """Append a run of leads."""
        self._firsts.append(self.count)
        self._runs.append(run)
        self.count += run.count

    def created(self, n: int) -> int:
        """When the n-th lead was submitted, in unix seconds."""
        place = bisect_right(self._firsts, n) - 1
        run = self._runs[place]
        if run.count == 1 or run.start == run.end:
            return run.start
        return run.start + (run.end - run.start) * (n - self._firsts[place]) // (run.count - 1)

    def is_readable(self, n: int, now: float) -> bool:
        """False when the lead was never made, was deleted, or is past its 90 days."""
        return 0 <= n < self.count and n not in self.deleted and self.created(n) > now - RETENTION

    def readable_between(self, now: float) -> tuple[int, int]:
        """The positions in time order that hold leads younger than 90 days, as a half-open range."""
        order = self._in_order()
        return bisect_right(order, now - RETENTION, key=self.created), len(order)

    def expired(self, now: float) -> int:
        """How many leads are past their 90 days."""
        first, _ = self.readable_between(now)
        return first - sum(1 for n in self.deleted if self.created(n) <= now - RETENTION)

    def position_of(self, n: int) -> int:
        """Where the n-th lead stands in time order."""
        return bisect_left(self._in_order(), (self.created(n), n), key=lambda other: (self.created(other), other))

    def first_position_from(self, created: int) -> int:
        """The position of the first lead submitted at that second or later."""
        return bisect_left(self._in_order(), created, key=self.created)

    def newest_first(self, first: int, last: int) -> Iterator[int]:
        """The numbers at positions last-1 down to first, without deleted leads."""
        order = self._in_order()
        for position in range(last - 1, first - 1, -1):
            n = order[position]
            if n not in self.deleted:
                yield n

    def oldest_first(self, first: int, last: int) -> Iterator[int]:
        """The same, the other way round."""
        order = self._in_order()
        for position in range(first, last):
            n = order[position]
            if n not in self.deleted:
                yield n

    def _in_order(self) -> "array[int]":
        while self._ordered_runs < len(self._runs):
            first, run = self._firsts[self._ordered_runs], self._runs[self._ordered_runs]
            overlaps = len(self._order) > 0 and run.start < self.created(self._order[-1])
            self._order.extend(range(first, first + run.count))
            if overlaps:
                self._order = array("q", sorted(self._order, key=self.created))
            self._ordered_runs += 1
        return self._order


def graph_time(created: float) -> str:
    """A time as Graph writes it: `2015-02-28T08:49:14+0000`."""
    return datetime.fromtimestamp(created, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


def full_answer(lead: Lead, *, seed: int) -> dict[str, object]:
    """Every field Graph has about a lead, for a token that may read all; one without a value is absent, as at Meta."""
    form, n = lead.form, lead.n
    chance = chance_of(seed, int(lead.lead_id))
    node: dict[str, object] = {"id": lead.lead_id, "created_time": graph_time(lead.created), "form_id": form.form_id}
    if not lead.is_test:
        node.update(form.ad_fields(n))
        node["platform"] = pick(chance, ("fb", "ig"))
    node["is_organic"] = "ad_id" not in node
    node["field_data"] = invent_answers(form, chance, lead_id=lead.lead_id)
    if responses := _disclaimer_responses(form, chance):
        node["custom_disclaimer_responses"] = responses
    if form.shape.get("submission_check"):
        node["post_submission_check_result"] = {"api_call_result": "SUCCESS", "shown_thank_you_page": "DEFAULT"}
    if form.shape.get("vehicle") and not node["is_organic"]:
        node["retailer_item_id"] = f"SKU-{digits(chance, 6)}"
        node["vehicle"] = {"id": f"10{digits(chance, 14)}", "make": "Aster", "model": "E4", "year": 2026}
    if form.shape.get("home_listing") and not node["is_organic"]:
        node["home_listing"] = {"id": f"10{digits(chance, 14)}", "name": "2 BHK, Baner", "currency": "INR"}
    if lead.crafted is not None:
        for name, value in lead.crafted.fields.items():
            if value is None:
                node.pop(name, None)
            else:
                node[name] = value
    return node


def _disclaimer_responses(form: Form, chance: random.Random) -> list[dict[str, str]]:
    """Only the optional boxes; `is_checked` is "1" or "" (Retrieving Leads, "Reading Custom Disclaimer Responses")."""
    return [
        {"checkbox_key": str(box["key"]), "is_checked": pick(chance, ("1", ""))}
        for box in disclaimer_boxes(form.node)
        if not box["is_required"]
    ]


def disclaimer_boxes(node: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The check boxes of a form's custom disclaimer."""
    legal = node.get("legal_content")
    disclaimer = legal.get("custom_disclaimer") if isinstance(legal, Mapping) else None
    return list(disclaimer["checkboxes"]) if isinstance(disclaimer, Mapping) else []
