"""What to ask about a form's test lead, and how to read it. Performs no I/O of its own.

A form has one test lead at a time. It is made without answers of ours, so that Meta fills in its dummies, by which
alone a test lead is known later. developers.facebook.com, guides/lead-ads/testing-troubleshooting.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ingest.meta.errors import BadAsk, Unavailable
from ingest.meta.graph.answers import Answer, read_page
from ingest.meta.graph.asks import Ask
from ingest.meta.graph.text import Json, JsonObject

_FIELDS = "id,created_time,field_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLead:
    """A test lead that is there. `field_data` is Meta's, of whatever shape."""

    __test__ = False  # no test, though pytest would take it for one by its name

    lead_id: str
    created_at: int | None  # unix seconds; None where Meta does not say it readably
    field_data: tuple[Json, ...] = field(repr=False)


def ask_test_leads(form_id: str) -> Ask:
    """Asks for the test lead that a form has; BadAsk where that is no id."""
    return Ask(path=f"{_id(form_id)}/test_leads", params=(("fields", _FIELDS),), about=None)


def ask_to_make_test_lead(form_id: str) -> Ask:
    """Has Meta make one and announce it; refused while the form has one. BadAsk where that is no id."""
    return Ask(method="POST", path=f"{_id(form_id)}/test_leads", about=None)


def ask_to_delete_lead(lead_id: str) -> Ask:
    """Deletes a lead, which is allowed of test leads (SDK Lead.api_delete); BadAsk where that is no id."""
    return Ask(method="DELETE", path=_id(lead_id), about=None)


def read_test_leads(answer: Answer) -> Sequence[TestLead]:
    """Those there are; Unavailable where the answer is no list, or one of them has no id."""
    return tuple(_read(item) for item in read_page(answer).items)


def read_made(answer: Answer) -> str:
    """The id of the lead that was made; Unavailable where the answer has none."""
    return _lead_id(answer.parsed)


def _read(item: JsonObject) -> TestLead:
    data = item.get("field_data")
    return TestLead(
        lead_id=_lead_id(item),
        created_at=_seconds(item.get("created_time")),
        field_data=tuple(data) if isinstance(data, list) else (),
    )


def _lead_id(node: JsonObject) -> str:
    said = node.get("id")
    text = str(said) if isinstance(said, str | int) else ""
    if not re.fullmatch(r"[0-9]{1,32}", text):
        raise Unavailable("not-an-object")
    return text


def _seconds(said: Json) -> int | None:
    try:
        return int(datetime.fromisoformat(said).timestamp()) if isinstance(said, str) else None
    except ValueError:
        return None


def _id(node_id: str) -> str:
    if not re.fullmatch(r"[0-9]{1,32}", node_id):  # an id becomes a path: anything but digits could name another one
        raise BadAsk("bad-id")
    return node_id
