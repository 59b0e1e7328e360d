"""Many leads at once: what to ask of a form or an ad, and each lead of the answer in the very text it was sent as.

Performs no I/O. `paging.next` holds the token: only the cursor is read, and the next ask is made anew with it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ingest.meta import verbatim
from ingest.meta.errors import Unavailable
from ingest.meta.graph.answers import Answer, read_page
from ingest.meta.graph.asks import Ask, ask_form, ask_forms
from ingest.meta.graph.text import Json, JsonObject
from ingest.meta.notification import id_or_none

# What a form tells of its leads. `leads_count` has those that were deleted at Meta too, `expired_leads_count` says how
# many; an answer may leave any of them out.
COUNTER_FIELDS = ("leads_count", "organic_leads_count", "expired_leads_count")
COUNTED_FORM_FIELDS = ("id", "name", "status", "page_id", *COUNTER_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkLead:
    """A lead of a page: `text` as Meta wrote it, `parsed` what it says, `created_time` in unix seconds."""

    lead_id: str
    text: str = field(repr=False)
    parsed: JsonObject = field(repr=False)
    created_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkPage:
    """A page of leads. `unreadable` are elements without an id or a time; `after` asks for more, None is the end."""

    leads: tuple[BulkLead, ...] = field(repr=False)
    unreadable: int
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedForm:
    """A form and what it says of its leads; a counter is None where Meta leaves it out."""

    form_id: str
    page_id: str | None
    name: str = field(repr=False)
    status: str | None
    leads: int | None
    organic: int | None
    expired: int | None

    @property
    def readable(self) -> int | None:
        """How many leads Meta may still give; None where it does not say."""
        return None if self.leads is None else max(0, self.leads - (self.expired or 0))


def ask_leads(
    edge_id: str, *, fields: Sequence[str], since: int | None, until: int | None, limit: int, after: str | None
) -> Ask:
    """Asks a form or an ad for up to `limit` leads with `since <= created < until`, in unix seconds; BadAsk for no id.

    The filter is on `time_created`, in seconds: by the output's own name, or with a date, it is ignored in silence
    (restfb#1212, facebook-ruby-business-sdk#60). Meta's documentation: guides/lead-ads/retrieving.
    """
    filters: list[JsonObject] = []
    if since is not None and since > 0:
        filters.append({"field": "time_created", "operator": "GREATER_THAN", "value": since - 1})
    if until is not None:
        filters.append({"field": "time_created", "operator": "LESS_THAN", "value": until})
    filtering = (("filtering", json.dumps(filters, separators=(",", ":"))),) if filters else ()
    cursor = () if after is None else (("after", after),)
    params = (("fields", ",".join(fields)), ("limit", str(limit)), *filtering, *cursor)
    return Ask(path=f"{ask_form(edge_id).path}/leads", params=params, about=None)


def read_leads(answer: Answer) -> BulkPage:
    """The leads of an answer to `ask_leads`; Unavailable where it is no page."""
    page = read_page(answer)
    try:
        whole = verbatim.read(answer.body.encode(), verbatim.members({"data": verbatim.items(verbatim.part)}))
        texts: list[verbatim.Part] = whole.value["data"]
    except (ValueError, UnicodeEncodeError):
        raise Unavailable("not-an-object") from None
    read = [_lead(text, node) for text, node in zip(texts, page.items, strict=True)]
    leads = tuple(lead for lead in read if lead is not None)
    return BulkPage(leads=leads, unreadable=len(read) - len(leads), after=page.after)


def ask_counted_form(form_id: str) -> Ask:
    """Asks for a form's page, its name and its counters; BadAsk where that is no id."""
    return ask_form(form_id, COUNTED_FORM_FIELDS)


def ask_counted_forms(page_id: str, after: str | None = None, *, limit: int = 100) -> Ask:
    """Asks for a page's forms, as `ask_counted_form` does for one, from the first or from a cursor on."""
    forms = ask_forms(page_id, after, limit=limit)
    others = tuple(pair for pair in forms.params if pair[0] != "fields")
    return Ask(path=forms.path, params=(("fields", ",".join(COUNTED_FORM_FIELDS)), *others), about=None)


def read_counted_form(node: JsonObject) -> CountedForm | None:
    """A form as it was answered or listed; None where it has no id."""
    form_id, status = id_or_none(node.get("id")), node.get("status")
    if form_id is None:
        return None
    counts = [_count(node.get(name)) for name in COUNTER_FIELDS]
    return CountedForm(
        form_id=form_id,
        page_id=id_or_none(node.get("page_id")),
        name=str(node.get("name") or ""),
        status=status if isinstance(status, str) else None,
        leads=counts[0],
        organic=counts[1],
        expired=counts[2],
    )


def _lead(text: verbatim.Part, node: JsonObject) -> BulkLead | None:
    lead_id, created = id_or_none(node.get("id")), _seconds(node.get("created_time"))
    if lead_id is None or created is None:
        return None
    return BulkLead(lead_id=lead_id, text=text.text.decode(), parsed=node, created_time=created)


def _seconds(told: Json) -> int | None:
    """`2026-11-24T08:00:00+0000`, or unix seconds, as Meta writes both."""
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    try:
        read = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        return None
    return None if read is None or read.tzinfo is None else int(read.timestamp())


def _count(told: Json) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None
