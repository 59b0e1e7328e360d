"""Bulk reading: the leads of a form or an ad, a page's forms, a user's pages, and test leads."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from deploy.sandbox.graph.answers import dummy_answers
from deploy.sandbox.graph.auth import Caller, check_page_access
from deploy.sandbox.graph.call import Call, Target
from deploy.sandbox.graph.errors import RefusedError, bad_parameter, missing, refusal
from deploy.sandbox.graph.facts import LeadCrafted
from deploy.sandbox.graph.ids import FORM_IDS, lead_id, lead_number
from deploy.sandbox.graph.leads import disclaimer_boxes
from deploy.sandbox.graph.nodes import form_answer, lead_answer, page_answer
from deploy.sandbox.graph.paging import envelope, page_of_list, read_slice
from deploy.sandbox.graph.state import State

MOST_FORMS = 1000
"""A larger limit on leadgen_forms is HTTP 500, as 15000 was in the wild (frappe/crm#2870); the bound is not known."""


@dataclass(slots=True)
class Limits:
    """How many leads one page of a bulk read may hold before Graph says "reduce the amount of data" (1/99)."""

    leads: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """Submitted at `first` or later, and before `end` (unix seconds)."""

    first: int = 0
    end: int = 2**62


def read_leads(state: State, caller: Caller, target: Target, call: Call, limits: Limits) -> dict[str, object]:
    """One page of the leads of a form or an ad, newest first (README, "Decisions")."""
    if target.form is None or target.page is None:
        raise missing(target.object_id)
    check_page_access(state, caller, target.page, target.object_id)
    wanted, span = read_slice(call.params, most=limits.leads), _time_filter(call.params.get("filtering"))
    form, leads = target.form, state.leads_of(target.form)
    low, high = leads.readable_between(state.now())
    low = max(low, leads.first_position_from(span.first))
    high = min(high, leads.first_position_from(span.end))

    def through_target(numbers: Iterator[int]) -> Iterator[int]:
        return (n for n in numbers if target.ad_slot is None or state.lead(form, n).ad_slot == target.ad_slot)

    if wanted.before is not None:
        at = leads.position_of(_number(wanted.before, form)) + 1
        found = list(islice(through_target(leads.oldest_first(max(low, at), high)), wanted.limit))[::-1]
    else:
        end = high if wanted.after is None else min(high, leads.position_of(_number(wanted.after, form)))
        found = list(islice(through_target(leads.newest_first(low, end)), wanted.limit))
    if not found:
        return {"data": []}
    older = leads.newest_first(low, min(high, leads.position_of(found[-1])))
    newer = leads.oldest_first(max(low, leads.position_of(found[0]) + 1), high)
    return envelope(
        call,
        [lead_answer(state, state.lead(form, n), call.params.get("fields")) for n in found],
        first=lead_id(form, found[0]),
        last=lead_id(form, found[-1]),
        has_next=next(through_target(older), None) is not None,
        has_previous=next(through_target(newer), None) is not None,
    )


def read_forms(state: State, caller: Caller, target: Target, call: Call) -> dict[str, object]:
    """One page of a page's forms; needs a token of the page or of a user."""
    if target.page is None:
        raise missing(target.object_id)
    check_page_access(state, caller, target.page, target.object_id)
    numbers = {FORM_IDS.id_of(number): number for number in state.form_numbers(target.page)}
    asked = call.params.get("fields")
    return page_of_list(
        call,
        list(numbers),
        show=lambda form_id: form_answer(state, state.form(numbers[form_id]), asked),
        most=MOST_FORMS,
    )


def read_accounts(state: State, caller: Caller, call: Call) -> dict[str, object]:
    """One page of a user's pages, each with its page token (FBS: how page tokens are got)."""
    if caller.kind != "user":
        raise RefusedError(refusal(2500))
    numbers = {page.page_id: page.number for page in state.pages()}
    asked = call.params.get("fields") or "access_token,category,name,id,tasks"
    return page_of_list(
        call, list(numbers), show=lambda page_id: page_answer(state, caller, numbers[page_id], asked), most=MOST_FORMS
    )


def read_test_leads(state: State, caller: Caller, target: Target, call: Call) -> dict[str, object]:
    """The test lead of a form, if it has one."""
    form = _own_form(state, caller, target)
    leads = state.leads_of(form)
    numbers = {
        lead_id(form, n): n
        for n, crafted in leads.crafted.items()
        if crafted.is_test and leads.is_readable(n, state.now())
    }
    asked = call.params.get("fields")
    return page_of_list(
        call,
        list(numbers),
        show=lambda found: lead_answer(state, state.lead(form, numbers[found]), asked),
        most=MOST_FORMS,
    )


def create_test_lead(state: State, caller: Caller, target: Target, params: Mapping[str, str]) -> int:
    """Make the form's test lead and return its number; a form has one at a time (TEST), and it is organic."""
    form = _own_form(state, caller, target)
    leads, now = state.leads_of(form), int(state.now())
    if any(crafted.is_test and leads.is_readable(n, now) for n, crafted in leads.crafted.items()):
        raise bad_parameter("There is already a test lead for this form. Delete it before you create another.")
    fields: dict[str, object] = {
        "is_organic": True,
        "field_data": _field_data(params) or dummy_answers(state.form(form)),
    }
    fields["custom_disclaimer_responses"] = _responses(params, state, form) or None
    (n,) = state.make_leads(form, 1, start=now, end=now)
    state.record(LeadCrafted(form=form, n=n, fields=fields, is_test=True))
    return n


def _own_form(state: State, caller: Caller, target: Target) -> int:
    if target.kind != "form" or target.form is None or target.page is None:
        raise missing(target.object_id)
    check_page_access(state, caller, target.page, target.object_id)
    return target.form


def _field_data(params: Mapping[str, str]) -> list[dict[str, object]]:
    return [
        {"name": str(item["name"]), "values": list(map(str, values)) if isinstance(values, list) else []}
        for item in _json_list(params, "field_data")
        for values in (item.get("values"),)
    ]


def _responses(params: Mapping[str, str], state: State, form: int) -> list[dict[str, str]]:
    """Given as JSON booleans, read back as "1" or "" (TEST, RETR); keys of no box are refused."""
    given = {
        str(item["checkbox_key"]): item.get("is_checked") for item in _json_list(params, "custom_disclaimer_responses")
    }
    boxes = {str(box["key"]): box["is_required"] for box in disclaimer_boxes(state.form(form).node)}
    if unknown := given.keys() - boxes.keys():
        raise bad_parameter(f"Param custom_disclaimer_responses has the unknown checkbox_key {min(unknown)}")
    checked = (True, 1, "1", "true")
    return [
        {"checkbox_key": key, "is_checked": "1" if given.get(key) in checked else ""}
        for key, required in boxes.items()
        if not required
    ]


def _json_list(params: Mapping[str, str], name: str) -> list[dict[str, object]]:
    try:
        value = json.loads(params.get(name) or "[]")
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise bad_parameter(f"Param {name} must be an array.")
    return value


def _time_filter(text: str | None) -> _Span:
    """What `filtering` asks of `time_created`.

    Another field, or a value that is no unix time, is ignored without a word, and everything comes back (restfb#1212,
    facebook-ruby-business-sdk#60).
    """
    first, end = 0, 2**62
    for item in _json_list({"filtering": text or "[]"}, "filtering"):
        value = item.get("value")
        if item.get("field") != "time_created" or not str(value).isdigit():
            continue
        second = int(str(value))
        match item.get("operator"):
            case "GREATER_THAN":
                first = max(first, second + 1)
            case "GREATER_THAN_OR_EQUAL":
                first = max(first, second)
            case "LESS_THAN":
                end = min(end, second)
            case unknown:
                raise bad_parameter(f"Param filtering[0][operator] must be one of the known operators, got {unknown}")
    return _Span(first=first, end=end)


def _number(key: str, form: int) -> int:
    numbers = lead_number(key)
    if numbers is None or numbers[0] != form:
        raise bad_parameter("The cursor is not valid")
    return numbers[1]
