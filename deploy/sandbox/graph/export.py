"""Leads as files: `/ads/lead_gen/export_csv/` (tab-separated, whatever its name says) and the Ads Manager download."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal

from deploy.sandbox.graph.auth import Caller, check_page_access
from deploy.sandbox.graph.errors import bad_parameter, missing
from deploy.sandbox.graph.forms import Form
from deploy.sandbox.graph.leads import Lead, full_answer
from deploy.sandbox.graph.state import State

LEAD_COLUMNS = (
    "id",
    "created_time",
    "ad_id",
    "ad_name",
    "adset_id",
    "adset_name",
    "campaign_id",
    "campaign_name",
    "form_id",
    "form_name",
    "is_organic",
    "platform",
)
PREFIXES = {"id": "l:", "ad_id": "ag:", "adset_id": "as:", "campaign_id": "c:", "form_id": "f:"}
"""What Ads Manager puts before the ids in its downloads; phones get `p:` (domain notes, section 4)."""
Style = Literal["endpoint", "ads_manager", "ads_manager_csv"]


def export_leads(state: State, caller: Caller, params: Mapping[str, str]) -> str:
    """The TSV of a form between `from_date` and `to_date` (unix seconds); `is_organic` is 1 or 0.

    A `from_date` before the form's creation means its creation, a missing or future `to_date` means now (RETR).
    """
    number = state.form_number(params.get("id", ""))
    if number is None:
        raise missing(params.get("id", ""))
    if params.get("type", "form") != "form":
        raise bad_parameter("Param type must be form")
    form = state.form(number)
    check_page_access(state, caller, form.page, form.form_id)
    since, until = _second(params, "from_date", 0), _second(params, "to_date", int(state.now()))
    rows = _rows(state, form, _leads(state, form, since, min(until, int(state.now()))), "endpoint")
    return _written(rows, "excel-tab")


def download(state: State, number: int, style: Style) -> bytes:
    """What a person downloads by hand: from Ads Manager UTF-16LE with a BOM and tabs, or UTF-8 with commas."""
    form = state.form(number)
    rows = _rows(state, form, _leads(state, form, 0, int(state.now())), style)
    if style == "ads_manager":
        return b"\xff\xfe" + _written(rows, "excel-tab").encode("utf-16-le")
    return _written(rows, "excel" if style == "ads_manager_csv" else "excel-tab").encode()


def _leads(state: State, form: Form, since: int, until: int) -> Iterator[Lead]:
    leads = state.leads_of(form.number)
    low, high = leads.readable_between(state.now())
    low = max(low, leads.first_position_from(since))
    high = min(high, leads.first_position_from(until + 1))
    return (state.lead(form.number, n) for n in leads.newest_first(low, high))


def _rows(state: State, form: Form, leads: Iterator[Lead], style: Style) -> Iterator[list[str]]:
    questions = [question["key"] for question in form.questions]
    by_hand = style != "endpoint"
    yield [*LEAD_COLUMNS, *questions, *(["lead_status"] if by_hand else [])]
    for lead in leads:
        answer = full_answer(lead, seed=state.world.seed) | {"form_name": form.node["name"]}
        answers = _answers(answer)
        if not by_hand:
            answer["is_organic"] = "1" if answer["is_organic"] else "0"
            yield [_text(answer.get(column)) for column in LEAD_COLUMNS] + [answers.get(key, "") for key in questions]
            continue
        offset = timezone(timedelta(hours=5, minutes=30) if form.country == "IN" else timedelta(hours=-5))
        answer["created_time"] = datetime.fromtimestamp(lead.created, tz=UTC).astimezone(offset).isoformat()
        for question in form.questions:
            if "PHONE" in question["type"] and answers.get(question["key"]):
                answers[question["key"]] = f"p:{answers[question['key']]}"
        cells = [_prefixed(column, _text(answer.get(column))) for column in LEAD_COLUMNS]
        yield [*cells, *(answers.get(key, "") for key in questions), "CREATED"]


def _answers(answer: Mapping[str, object]) -> dict[str, str]:
    data = answer.get("field_data")
    return {item["name"]: "; ".join(item.get("values", [])) for item in data} if isinstance(data, list) else {}


def _prefixed(column: str, text: str) -> str:
    return PREFIXES.get(column, "") + text if text else text


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _written(rows: Iterator[list[str]], dialect: str) -> str:
    out = io.StringIO()
    csv.writer(out, dialect=dialect, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _second(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if text and not text.isdigit():
        raise bad_parameter(f"Param {name} must be a UNIX timestamp")
    return int(text) if text else default
