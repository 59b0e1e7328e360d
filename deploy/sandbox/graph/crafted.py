"""One POST of a chosen kind: all that reaches a leadgen callback besides ordinary leads, and what must be refused."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.sandbox.graph.answers import dummy_answers
from deploy.sandbox.graph.facts import LeadCrafted, LeadDeleted
from deploy.sandbox.graph.leads import Lead
from deploy.sandbox.graph.shapes import CraftedKind
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.webhooks import (
    body_of,
    change,
    entry,
    escaped,
    leadgen_value,
    names_only,
    signed_headers,
    unsigned_headers,
)
from deploy.sandbox.graph.world import GRAPH_VERSION

SAMPLE_ID = "444444444444"
"""Lead, form and page of the App Dashboard's Test button (domain notes, section 1.6)."""
GOOD_LEADS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafted:
    """A POST ready to be sent, and the leads it is about."""

    body: bytes
    headers: dict[str, str]
    leads: Sequence[Lead]


def craft(state: State, kind: CraftedKind, form: int, *, field: str, chance: random.Random) -> Crafted:
    """Make the leads this kind needs, and its POST. `field` names the changed field of `other_field`."""
    secret = state.world.app.secret
    if kind in ("changed_fields", "dashboard_sample", "crm_setup", "not_json", "other_field"):
        body = _without_leads(state, kind, form, field)
        return Crafted(body=body, headers=signed_headers(body, secret, version=GRAPH_VERSION), leads=())
    leads = _make_leads(state, kind, form)
    changes = [change(_value(state, lead, chance)) for lead in leads]
    if kind == "leadgen_update":
        changes = [change(_update_value(state, leads[0]), "leadgen_update")]
    elif kind == "one_bad_change":
        changes.insert(1, change({"leadgen_id": {"not": "an id"}, "created_time": "yesterday"}))
    page_id = state.world.page(leads[0].form.page).page_id
    body = body_of([entry(page_id, changes, sent_at=state.now())])
    headers = signed_headers(body, secret, version=GRAPH_VERSION)
    if kind == "unsigned":
        headers = unsigned_headers(version=GRAPH_VERSION)
    elif kind == "wrong_signature":
        headers = signed_headers(body, state.world.foreign_app.secret, version=GRAPH_VERSION)
    return Crafted(body=body, headers=headers, leads=leads)


def _make_leads(state: State, kind: CraftedKind, form: int) -> list[Lead]:
    now = int(state.now())
    numbers = state.make_leads(form, GOOD_LEADS if kind == "one_bad_change" else 1, start=now, end=now)
    if kind == "deleted_lead":
        state.record(LeadDeleted(form=form, n=numbers[0]))
    elif kind == "test_lead":
        fields = {"field_data": dummy_answers(state.form(form)), "is_organic": True}
        state.record(LeadCrafted(form=form, n=numbers[0], fields=fields, is_test=True))
    return [state.lead(form, n) for n in numbers]


def _value(state: State, lead: Lead, chance: random.Random) -> dict[str, object]:
    page_id = state.world.page(lead.form.page).page_id
    return leadgen_value(lead, page_id, ids="mixed", ads="mixed", chance=chance)


def _update_value(state: State, lead: Lead) -> dict[str, object]:
    """The dashboard's sample of leadgen_update: integers, and a quoted time (NOC)."""
    ad = int(lead.form.ad_fields(lead.n).get("ad_id", "0"))
    return {
        "leadgen_id": int(lead.lead_id),
        "page_id": int(state.world.page(lead.form.page).page_id),
        "form_id": int(lead.form.form_id),
        "ad_id": ad,
        "adgroup_id": ad,
        "updated_time": str(int(state.now())),
        "area": "ai_agent_updates",
        "event": "qualification_status_change",
        "updated_fields": ["qualification_details", "qualification_status"],
    }


def _without_leads(state: State, kind: CraftedKind, form: int, field: str) -> bytes:
    page_id, now = state.world.page(state.form(form).page).page_id, state.now()
    match kind:
        case "changed_fields":
            return body_of([names_only(page_id, sent_at=now)])
        case "other_field":
            value = {
                "item": "post",
                "verb": "add",
                "message": "Grüße an 50 % <aller> @freunde / ₹5",
                "post_id": f"{page_id}_1",
            }
            return body_of([entry(page_id, [change(value, field)], sent_at=now)])
        case "dashboard_sample":
            return body_of([entry("0", [change(_sample_value(now)), change(_sample_value(now))], sent_at=now)])
        case "crm_setup":
            return escaped(
                {
                    "facebook_lead_id": [SAMPLE_ID],
                    "created_time": ["02/01/2025 10:20"],
                    "full_name": ["Ada Example"],
                    "email": ["ada@example.com"],
                }
            )
        case _:
            return json.dumps({"object": "page"}).encode()[:-1]


def _sample_value(now: float) -> dict[str, object]:
    return {
        "ad_id": "444444444",
        "form_id": SAMPLE_ID,
        "leadgen_id": SAMPLE_ID,
        "created_time": int(now),
        "page_id": SAMPLE_ID,
        "adgroup_id": "44444444444",
    }
