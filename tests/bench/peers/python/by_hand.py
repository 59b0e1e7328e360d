"""The map as one writes it by hand for a team's own forms: a details record to a lead, and to the sales team's record.

Straight on, with the libraries that one looks up for it. It knows the questions that the bench's forms ask and little
else, and an answer that it cannot read raises; leadstream's own reads every question of Meta's, in any shape.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import phonenumbers
import pycountry
from email_validator import validate_email

# `Any`: JSON as it comes.
TEXTS = {"FULL_NAME": "full_name", "COMPANY_NAME": "company_name", "CITY": "city"}
ORDINARY = ("ad_id", "ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name", "retailer_item_id")
INTERESTS = {"a_test_drive": "DRIVE", "an_offer": "OFFER"}
COUNTRIES = {
    name.casefold(): each.alpha_2
    for each in pycountry.countries
    for name in (each.alpha_2, each.alpha_3, each.name, getattr(each, "common_name", each.name))
} | {"deutschland": "DE"}


@lru_cache(maxsize=256)
def form_of(snapshot: str) -> Any:
    return orjson.loads(snapshot)


def lead(details: Mapping[str, Any]) -> dict[str, Any]:
    """A record of Lead.avsc; what is left out is null there."""
    node, form = orjson.loads(details["answer"]), form_of(details["form"])
    questions = {question["key"]: question for question in form["questions"]}
    answers = [_answer(entry, questions) for entry in node["field_data"]]
    given = {answer["type"] or answer["key"]: answer["values"][0] for answer in answers if answer["values"]}
    country = COUNTRIES[given["COUNTRY"].casefold()]
    legal = form.get("legal_content") or {}
    policy, disclaimer = legal.get("privacy_policy") or {}, legal.get("custom_disclaimer") or {}
    made = {
        "lead_id": details["lead_id"],
        "created_at": datetime.strptime(node["created_time"], "%Y-%m-%dT%H:%M:%S%z"),
        "received_at": details["received_at"],
        "fetched_at": details["fetched_at"],
        "source": details["source"],
        "completeness": details["completeness"],
        "missing_fields": details["missing_fields"],
        "is_test": given["EMAIL"] in ("test@meta.com", "test@fb.com"),
        "page_id": details["page_id"],
        "form_id": details["form_id"],
        "form_name": form["name"],
        "form_locale": form["locale"],
        "form_version": details["form_version"],
        "platform": node.get("platform"),
        "is_organic": node.get("is_organic"),
        "email": validate_email(given["EMAIL"], check_deliverability=False).normalized.lower(),
        "phone": _phone(given["PHONE"], country),
        "country": country,
        "answers": answers,
        "privacy_policy_url": policy.get("url") or form.get("privacy_policy_url"),
        "privacy_policy_text": policy.get("link_text"),
        "disclaimer_title": disclaimer.get("title"),
        "disclaimer_text": (disclaimer.get("body") or {}).get("text"),
        "disclaimers": _disclaimers(node, disclaimer),
        "problems": [],
    }
    for name in ORDINARY:
        made[name] = node.get(name)
    for name in ("vehicle", "post_submission_check_result"):
        made[name] = json.dumps(node[name], ensure_ascii=False, separators=(",", ":")) if name in node else None
    for kind, name in TEXTS.items():
        made[name] = " ".join(given[kind].split())
    if "phone_number_verified" in given:
        made["phone_verified"] = given["phone_number_verified"] == "true"
    return made


def record(lead: Mapping[str, Any]) -> dict[str, Any]:
    """What mappings/sales.yaml makes of it."""
    given = {answer["key"]: answer["values"] for answer in lead["answers"]}
    remark = given["anything_else?"][0]
    left: dict[str, Any] = {"answers": {"city": given["city"]}}
    if lead["disclaimers"]:
        left["disclaimers"] = {each["key"]: each["is_checked"] for each in lead["disclaimers"]}
    return {
        "lead_id": lead["lead_id"],
        "email": lead["email"],
        "phone": lead["phone"],
        "name": lead["full_name"],
        "company": lead["company_name"],
        "country": lead["country"],
        "interest": INTERESTS.get(given["what_are_you_interested_in?"][0], "CALL"),
        "remark": f"{remark} ({lead['campaign_name']})" if lead["campaign_name"] else remark,
        "created_at": lead["created_at"].astimezone(UTC),
        "unmapped": json.dumps(left, ensure_ascii=False, separators=(",", ":")),
    }


def _answer(entry: Mapping[str, Any], questions: Mapping[str, Any]) -> dict[str, Any]:
    question = questions.get(entry["name"], {})
    options = {option["key"]: option["value"] for option in question.get("options", ())}
    values = entry.get("values") or []
    return {
        "key": entry["name"],
        "question": question.get("label"),
        "type": question.get("type"),
        "values": values,
        "option_texts": [options.get(value) for value in values] if options else [],
        "is_tracking": False,
        "is_sensitive": question.get("type", "").startswith("ID_"),
    }


def _phone(text: str, country: str) -> str:
    number = phonenumbers.parse(text, country)
    if not phonenumbers.is_valid_number(number):
        raise ValueError("a phone number that is none")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _disclaimers(node: Mapping[str, Any], disclaimer: Mapping[str, Any]) -> list[dict[str, Any]]:
    said = {each["checkbox_key"]: each["is_checked"] == "1" for each in node.get("custom_disclaimer_responses", ())}
    return [
        {
            "key": box["key"],
            "text": box["text"],
            "is_required": box["is_required"],
            "is_checked_by_default": box["is_checked_by_default"],
            "is_checked": said.get(box["key"], True),
            "evidence": "ANSWERED" if box["key"] in said else "REQUIRED",
        }
        for box in disclaimer.get("checkboxes", ())
    ]
