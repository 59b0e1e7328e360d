"""Details records as `work fetch` writes them: invented leads of forms with eight questions, many leads to a form.

Every lead follows from its number, so that whoever counts knows which there must be.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import cast

import orjson

from deploy.sandbox.graph.answers import FieldData
from deploy.sandbox.graph.forms import Form, build_form
from deploy.sandbox.graph.ids import LEADS_PER_FORM, PAGES, lead_id
from deploy.sandbox.graph.leads import Lead, full_answer
from ingest.details import lead_details
from ingest.meta.graph import Snapshot, snapshot
from ingest.meta.graph.text import JsonObject
from ingest.records import Headers, headers
from schemas.shapes import LeadDetails

FORMS = 40
_SECONDS = 1_795_500_000  # unix; a lead is made a second after the one before
_SEED = 8
_TEMPLATES = ("test_drive", "solar", "b2b", "newsletter")
# Of many numbers, unlike the double's, of which a country has a hundred: nobody's map may live on having seen them all.
_PHONES = {"US": "+1 (212) {:03d}-{:04d}", "DE": "0151 2{:03d}{:04d}", "GB": "07400 {:03d}{:03d}"}
_QUESTIONS = [
    {"type": "FULL_NAME", "key": "full_name", "label": "Full name"},
    {"type": "EMAIL", "key": "email", "label": "Email"},
    {"type": "PHONE", "key": "phone_number", "label": "Phone number"},
    {"type": "COMPANY_NAME", "key": "company_name", "label": "Company"},
    {"type": "CITY", "key": "city", "label": "City"},
    {"type": "COUNTRY", "key": "country", "label": "Country"},
    {
        "type": "CUSTOM",
        "key": "what_are_you_interested_in?",
        "label": "What are you interested in?",
        "options": [
            {"key": "a_test_drive", "value": "A test drive"},
            {"key": "an_offer", "value": "An offer"},
            {"key": "a_call", "value": "A call"},
        ],
    },
    {
        "type": "CUSTOM",
        "key": "anything_else?",
        "label": "Anything else?",
        "_texts": ["No, thanks", "Please call after 5 pm", "Mit Wallbox, bitte", "👍 looking forward"],
    },
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A lead of the past, and what was said of it as headers."""

    lead_id: str
    details: LeadDetails
    headers: Headers


def lead_of(number: int) -> str:
    """The id of the lead of that number."""
    return lead_id(number % FORMS, number // FORMS)


def details(count: int) -> Iterator[Made]:
    """The first so many, in the order they were made."""
    assert count <= FORMS * LEADS_PER_FORM
    return map(_made, range(count))


def _made(number: int) -> Made:
    form, shown = _form(number % FORMS)
    made_at = _SECONDS + number
    lead = Lead(form=form, n=number // FORMS, lead_id=lead_of(number), created=made_at, crafted=None)
    answer = full_answer(lead, seed=_SEED)
    _call_by(number, form.country, answer)
    page_id, form_id = PAGES.id_of(form.page), form.form_id
    change = {"leadgen_id": lead.lead_id, "page_id": page_id, "form_id": form_id, "created_time": made_at}
    received_at = made_at * 1000 + 700
    made = lead_details(
        lead_id=lead.lead_id,
        page_id=page_id,
        form_id=form_id,
        answer=orjson.dumps(answer).decode(),
        completeness="FULL",
        missing_fields=(),
        source="webhook",
        api_version="v25.0",
        form=shown,
        fetched_at=received_at + 900,
        change=orjson.dumps(change).decode(),
        received_at=received_at,
    )
    told = headers(
        {
            "source": "webhook",
            "delivery": f"{number:016x}",
            "received-at": received_at,
            "entry-id": page_id,
            "entry-time": made_at,
            "origin": f"{number % 6}@{number // 6}",
            "completeness": "FULL",
        }
    )
    return Made(lead_id=lead.lead_id, details=made, headers=told)


def _call_by(number: int, country: str, answer: Mapping[str, object]) -> None:
    mixed = number * 7_919
    digits = _PHONES[country].format(200 + mixed // 1_000 % 700, mixed % 1_000)
    said = next(each for each in cast("list[FieldData]", answer["field_data"]) if each["name"] == "phone_number")
    said["values"] = [digits]


@cache
def _form(number: int) -> tuple[Form, Snapshot]:
    template = _TEMPLATES[number % len(_TEMPLATES)]
    form = build_form(
        number,
        page=number // 2,
        page_id=PAGES.id_of(number // 2),
        template=template,
        created_time="2026-10-01T09:00:00+0000",
        changes={"questions": _QUESTIONS, "tracking_parameters": []},
    )
    node = cast("JsonObject", {name: value for name, value in form.node.items() if name != "page"})
    return form, snapshot(node)
