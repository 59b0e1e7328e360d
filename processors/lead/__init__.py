"""Maps Meta's answer to a Lead: a function of the details record and nothing else. Performs no I/O of its own.

Every answer is kept. What can be understood gets a field of its own, what cannot is named in `problems`, and a lead
fails only if there is no lead to speak of (`Unmappable`).
"""

# Else what is said of the functions inside `_map` is worked out for each lead.
from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Literal

from processors.lead import normalise
from processors.lead.answers import Answers
from processors.lead.consent import read_disclaimers
from processors.lead.form import Form, read_form
from processors.lead.loose import a_list, a_text, an_id, an_object, dump, parse
from schemas.shapes import Lead, LeadDetails, Problem

__all__ = ["Reason", "Unmappable", "map_lead"]

Reason = Literal["not-json", "not-an-object", "no-id", "other-lead"]

# The fields of Meta's lead that have a place in ours. What else it holds goes to `other_fields`.
_PLACED = frozenset(
    {
        "ad_id",
        "ad_name",
        "adset_id",
        "adset_name",
        "campaign_id",
        "campaign_name",
        "created_time",
        "custom_disclaimer_responses",
        "field_data",
        "form_id",
        "home_listing",
        "id",
        "is_organic",
        "partner_name",
        "platform",
        "post_submission_check_result",
        "retailer_item_id",
        "vehicle",
    }
)


class Unmappable(Exception):
    """A details record holds no lead. `reason` is one word; nothing of the record is in the text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the details record cannot be mapped: {reason}")
        self.reason: Reason = reason


def map_lead(details: LeadDetails) -> Lead:
    """The Lead in a details record; the same record always gives the same Lead. `Unmappable` if there is none."""
    try:
        return _map(details)
    except RecursionError:  # nested a thousand deep: nothing that Meta would answer
        raise Unmappable("not-json") from None


def _map(details: LeadDetails) -> Lead:
    lead_id, node = details["lead_id"], _node(details)
    problems: list[Problem] = []
    change = _change(details)
    form = _form(details, problems)
    created_at = _created_at(node, change, problems)
    said = Answers(a_list(node.get("field_data")), form, problems)
    is_test = said.are_of_a_test_lead
    country = said.read("country", lambda raw: normalise.country(raw, language=form.language))

    def phone(raw: str) -> tuple[str | None, normalise.Code | None]:
        return normalise.phone(raw, answered=country, guessed=form.country)

    def born(raw: str) -> tuple[date | None, normalise.Code | None]:
        return normalise.birth_date(raw, locale=form.locale, not_after=created_at.date() if created_at else None)

    return {
        "lead_id": lead_id,
        "created_at": created_at,
        "received_at": details["received_at"],
        "fetched_at": details["fetched_at"],
        "source": details["source"],
        "completeness": details["completeness"],
        "missing_fields": details["missing_fields"],
        "is_test": is_test,
        "page_id": details["page_id"],
        "form_id": details["form_id"] or an_id(node.get("form_id")),
        "form_name": form.name,
        "form_locale": form.locale,
        "form_version": details["form_version"],
        "platform": a_text(node.get("platform")),
        "is_organic": _is_organic(node, problems),
        "ad_id": an_id(node.get("ad_id")) or an_id(change.get("ad_id")),
        "ad_name": a_text(node.get("ad_name")),
        "adset_id": an_id(node.get("adset_id")),
        "adset_name": a_text(node.get("adset_name")),
        "campaign_id": an_id(node.get("campaign_id")),
        "campaign_name": a_text(node.get("campaign_name")),
        "partner_name": a_text(node.get("partner_name")),
        "retailer_item_id": an_id(node.get("retailer_item_id")),
        "email": said.read("email", normalise.email),
        "work_email": said.read("work_email", normalise.email),
        "phone": said.read("phone", phone),
        "phone_verified": said.read("phone_verified", _boolean),
        "work_phone": said.read("work_phone", phone),
        "whatsapp": said.read("whatsapp", phone),
        "full_name": said.text("full_name"),
        "first_name": said.text("first_name"),
        "last_name": said.text("last_name"),
        "date_of_birth": said.read("date_of_birth", born),
        "gender": said.text("gender"),
        "marital_status": said.text("marital_status"),
        "relationship_status": said.text("relationship_status"),
        "education_level": said.text("education_level"),
        "military_status": said.text("military_status"),
        "company_name": said.text("company_name"),
        "job_title": said.text("job_title"),
        "website": said.text("website"),
        "street_address": said.text("street_address"),
        "address_line_two": said.text("address_line_two"),
        "city": said.text("city"),
        "state": said.text("state"),
        "post_code": said.text("post_code"),
        "country": country,
        "answers": said.all,
        "privacy_policy_url": form.privacy_policy_url,
        "privacy_policy_text": form.privacy_policy_text,
        "disclaimer_title": form.disclaimer_title,
        "disclaimer_text": form.disclaimer_text,
        "disclaimers": read_disclaimers(a_list(node.get("custom_disclaimer_responses")), form, is_test=is_test),
        "home_listing": _raw(node.get("home_listing")),
        "vehicle": _raw(node.get("vehicle")),
        "post_submission_check_result": _raw(node.get("post_submission_check_result")),
        "other_fields": _other_fields(node, problems),
        "problems": problems,
    }


def _node(details: LeadDetails) -> Mapping[str, object]:
    """The lead as Meta answered it, held against the record's own id."""
    try:
        node = parse(details["answer"])
    except ValueError:
        raise Unmappable("not-json") from None
    if not isinstance(node, dict):
        raise Unmappable("not-an-object")
    answered_id = an_id(node.get("id"))
    if answered_id is None or not details["lead_id"]:
        raise Unmappable("no-id")
    if answered_id != details["lead_id"]:
        raise Unmappable("other-lead")
    return node


def _change(details: LeadDetails) -> Mapping[str, object]:
    try:
        return an_object(parse(details["change"] or "{}"))
    except ValueError:
        return {}


def _form(details: LeadDetails, problems: list[Problem]) -> Form:
    if details["form"] is None:
        return Form()
    try:
        return read_form(details["form"])
    except ValueError:
        problems.append({"field": "form_version", "key": None, "code": "invalid"})
        return Form()


def _created_at(node: Mapping[str, object], change: Mapping[str, object], problems: list[Problem]) -> datetime | None:
    """When the form was submitted, from the answer or else from the notification."""
    for said in (a_text(node.get("created_time")), a_text(change.get("created_time"))):
        if said is not None:
            moment = normalise.instant(said)
            if moment is not None:
                return moment
    problems.append({"field": "created_at", "key": None, "code": "invalid"})
    return None


def _is_organic(node: Mapping[str, object], problems: list[Problem]) -> bool | None:
    given = node.get("is_organic")
    if isinstance(given, bool):  # as Meta writes it
        return given
    said = a_text(given)
    if said is None:
        return None
    is_organic = normalise.boolean(said)
    if is_organic is None:
        problems.append({"field": "is_organic", "key": None, "code": "invalid"})
    return is_organic


def _boolean(raw: str) -> tuple[bool | None, None]:
    return normalise.boolean(raw), None


def _raw(value: object) -> str | None:
    return None if value is None else dump(value)


def _other_fields(node: Mapping[str, object], problems: list[Problem]) -> str | None:
    other = {} if _PLACED.issuperset(node) else {name: node[name] for name in node if name not in _PLACED}
    for name, field in (("field_data", "answers"), ("custom_disclaimer_responses", "disclaimers")):
        if not isinstance(node.get(name), list | None):
            other[name] = node[name]
            problems.append({"field": field, "key": None, "code": "invalid"})
    return dump(other) if other else None
