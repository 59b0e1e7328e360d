"""Leads of one form, and mapping files for them, as short as a test can say them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from processors.lead import map_lead
from processors.mapping.file import Mapping as MappingFile
from processors.mapping.target import Mapped, Target
from schemas.shapes import Lead, LeadDetails

LEAD_ID = "55459717045641545"
FORM_ID = "12312312312"

# `Any`: JSON.
FORM: dict[str, Any] = {
    "id": FORM_ID,
    "name": "Probefahrt",
    "locale": "de_DE",
    "questions": [
        {"key": "wer", "label": "Ihr Name", "type": "FULL_NAME"},
        {"key": "email", "label": "E-Mail", "type": "EMAIL"},
        {"key": "phone_number", "label": "Telefon", "type": "PHONE"},
        {"key": "city", "label": "Welche  Stadt gefa\u0308llt Ihnen?", "type": "CUSTOM"},
        {
            "key": "car",
            "label": "Which car?",
            "type": "CUSTOM",
            "options": [{"key": "honda", "value": "Honda Civic"}, {"value": "BMW, any"}],
        },
    ],
    "tracking_parameters": [{"key": "utm_source", "value": "fb"}],
    "legal_content": {
        "custom_disclaimer": {
            "title": "Bedingungen",
            "checkboxes": [
                {"key": "terms", "text": "Ich stimme zu", "is_required": True},
                {"key": "news", "text": "Newsletter", "is_required": False},
            ],
        },
    },
}


def a_lead(
    *answers: tuple[str, object],
    form: Mapping[str, object] | None = FORM,
    ticked: Mapping[str, str] | None = None,
    form_id: str | None = FORM_ID,
    **fields: object,
) -> Lead:
    """A lead with these answers by their keys; a text is one value. `ticked` is of its disclaimer's boxes."""
    said = [{"name": key, "values": [given] if isinstance(given, str) else given} for key, given in answers]
    boxes = [{"checkbox_key": key, "is_checked": value} for key, value in (ticked or {}).items()]
    answer = {"id": LEAD_ID, "created_time": "2026-11-20T08:49:14+0000", "field_data": said} | fields
    return map_lead(
        a_record(
            json.dumps(answer | ({"custom_disclaimer_responses": boxes} if boxes else {})),
            form_id=form_id,
            form=None if form is None else json.dumps(form),
            form_version=None if form is None else "f" * 64,
        )
    )


def a_record(
    answer: str, *, form_id: str | None = FORM_ID, form: str | None = None, form_version: str | None = "v" * 64
) -> LeadDetails:
    """What `work fetch` writes of Meta's answer."""
    return {
        "lead_id": LEAD_ID,
        "page_id": "153125381133",
        "form_id": form_id,
        "answer": answer,
        "completeness": "FULL",
        "missing_fields": [],
        "source": "webhook",
        "api_version": "v25.0",
        "change": None,
        "form": form,
        "form_version": form_version,
        "received_at": datetime(2026, 11, 24, 7, 0, tzinfo=UTC),
        "fetched_at": datetime(2026, 11, 24, 7, 1, tzinfo=UTC),
    }


def a_field(*sources: Mapping[str, str], through: Sequence[object] = (), **more: object) -> dict[str, object]:
    """A field of a mapping file: its sources in order, and the transforms they go through."""
    return {"doc": "One.", "from": list(sources), "transform": list(through)} | more


def a_mapping(fields: Mapping[str, object], **more: object) -> MappingFile:
    return MappingFile.model_validate(
        {"target": "sales", "owner": "sales-it", "doc": "Leads for the CRM.", "fields": fields} | more
    )


def mapped(lead: Lead, *sources: Mapping[str, str], through: Sequence[object] = (), **more: object) -> Mapped:
    """What a file with one field, `it`, makes of a lead."""
    return Target(a_mapping({"it": a_field(*sources, through=through, **more)})).map(lead)


def left_in(made: Mapped) -> Any:
    """`unmapped`, read."""
    text = made.record["unmapped"]
    return None if text is None else json.loads(str(text))
