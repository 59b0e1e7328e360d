"""Reading one object: a lead, a form, a page, an ad, the app."""

from collections.abc import Mapping

from deploy.sandbox.graph.auth import Caller, check_page_access
from deploy.sandbox.graph.call import Target
from deploy.sandbox.graph.errors import missing
from deploy.sandbox.graph.facts import LeadDeleted
from deploy.sandbox.graph.fields import select
from deploy.sandbox.graph.forms import Form
from deploy.sandbox.graph.leads import Lead, full_answer
from deploy.sandbox.graph.state import State

LEAD_FIELDS = frozenset(
    [
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
        "post",
        "post_submission_check_result",
        "retailer_item_id",
        "vehicle",
    ]
)
"""SDK adobjects/lead.py, Lead.Field."""
FORM_FIELDS = frozenset(
    [
        "allow_organic_lead",
        "block_display_for_non_targeted_viewer",
        "context_card",
        "created_time",
        "creator",
        "expired_leads_count",
        "follow_up_action_text",
        "follow_up_action_url",
        "id",
        "is_optimized_for_quality",
        "leads_count",
        "legal_content",
        "locale",
        "name",
        "organic_leads_count",
        "page",
        "page_id",
        "privacy_policy_url",
        "question_page_custom_headline",
        "questions",
        "status",
        "thank_you_page",
        "tracking_parameters",
    ]
)
"""SDK adobjects/leadgenform.py, LeadgenForm.Field."""
PAGE_FIELDS = frozenset(
    ["id", "name", "category", "link", "access_token", "has_lead_access", "leadgen_tos_accepted", "tasks"]
)
LEAD_DEFAULTS = ("created_time", "id", "field_data")
FORM_DEFAULTS = ("id", "locale", "name", "status")


def read_node(state: State, caller: Caller, target: Target, params: Mapping[str, str]) -> dict[str, object]:
    """The fields asked for of the object `target` stands for; raises 100/33 for what is not there or not to be seen."""
    asked = params.get("fields")
    match target.kind:
        case "lead":
            lead = find_lead(state, caller, target)
            return lead_answer(state, lead, asked)
        case "form" if target.form is not None and target.page is not None:
            check_page_access(state, caller, target.page, target.object_id)
            return form_answer(state, state.form(target.form), asked)
        case "page" if target.page is not None:
            if caller.kind == "page" and caller.page != target.page:
                raise missing(target.object_id)
            return page_answer(state, caller, target.page, asked)
        case "ad" if target.form is not None and target.page is not None:
            check_page_access(state, caller, target.page, target.object_id)
            node = {"id": target.object_id, "name": f"{state.form(target.form).node['name']} / {target.ad_slot}"}
            return select(node, asked, allowed=frozenset(("id", "name")), node_type="Adgroup", defaults=("id",))
        case "app" if caller.kind == "app" and caller.app_id == target.object_id:
            node = {"id": target.object_id, "name": state.world.app.name}
            return select(
                node, asked, allowed=frozenset(("id", "name")), node_type="Application", defaults=("id", "name")
            )
        case _:
            raise missing(target.object_id)


def find_lead(state: State, caller: Caller, target: Target, verb: str = "get") -> Lead:
    """The lead, if it is there and the caller may read it."""
    lead = state.readable_lead(target.object_id)
    if lead is None or target.page is None:
        raise missing(target.object_id, verb)
    check_page_access(state, caller, target.page, target.object_id)
    return lead


def lead_answer(state: State, lead: Lead, asked: str | None) -> dict[str, object]:
    """The asked fields of a lead, as this page's token may read them."""
    return select(
        full_answer(lead, seed=state.world.seed),
        asked,
        allowed=LEAD_FIELDS,
        node_type="Lead",
        defaults=LEAD_DEFAULTS,
        hidden=state.access(lead.form.page).hidden,
    )


def delete_lead(state: State, caller: Caller, target: Target) -> dict[str, object]:
    """Delete a test lead; other leads cannot be deleted through the API here (README, "Decisions")."""
    lead = find_lead(state, caller, target, "delete")
    if not lead.is_test:
        raise missing(target.object_id, "delete")
    state.record(LeadDeleted(form=lead.form.number, n=lead.n))
    return {"success": True}


def form_answer(state: State, form: Form, asked: str | None) -> dict[str, object]:
    """The asked fields of a form; the counters are counted only when asked for."""
    node = dict(form.node)
    if asked and "leads_count" in asked:
        node |= counters(state, form)
    return select(node, asked, allowed=FORM_FIELDS, node_type="LeadGenData", defaults=FORM_DEFAULTS)


def counters(state: State, form: Form) -> dict[str, object]:
    """`leads_count` is all but the deleted, also the expired; `expired_leads_count` those past their 90 days."""
    leads = state.leads_of(form.number)
    organic = form.organic_among(leads.count)
    tests = {n for n, crafted in leads.crafted.items() if crafted.is_test}
    organic += sum(form.ad_slot(n) is not None for n in tests)
    gone = sum(form.ad_slot(n) is None or n in tests for n in leads.deleted)
    return {
        "leads_count": leads.count - len(leads.deleted),
        "organic_leads_count": organic - gone,
        "expired_leads_count": leads.expired(state.now()),
    }


def page_answer(state: State, caller: Caller, number: int, asked: str | None) -> dict[str, object]:
    """The asked fields of a page; `has_lead_access` says why leads may not be read (SDK hasleadaccess.py)."""
    page, access = state.world.page(number), state.access(number)
    readable = access.refused_as is None
    lead_access: dict[str, object] = {
        "app_has_leads_permission": access.refused_as != "10",
        "can_access_lead": readable,
        "enabled_lead_access_manager": not readable,
        "is_page_admin": True,
        "page_id": page.page_id,
        "user_has_leads_permission": access.refused_as in (None, "10"),
    }
    if not readable:
        lead_access["failure_reason"] = "The app or the user is not assigned in the Leads Access Manager of this page."
        lead_access["failure_resolution"] = "Assign the app and the user in Leads Access Manager, in Business settings."
    node: dict[str, object] = {
        "id": page.page_id,
        "name": page.name,
        "category": "Local business",
        "link": f"https://www.facebook.com/{page.page_id}",
        "has_lead_access": lead_access,
        "leadgen_tos_accepted": True,
        "tasks": ["ADVERTISE", "ANALYZE", "MANAGE"],
    }
    if caller.kind != "app":
        node["access_token"] = state.page_token(number)
    return select(node, asked, allowed=PAGE_FIELDS, node_type="Page", defaults=("name", "id"))
