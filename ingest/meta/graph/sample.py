"""How to try whether leads of a page can be read, without reading a person's answers. Performs no I/O of its own.

A form that has leads is looked for first; then a few leads of it are asked for, all fields but the answers.
"""

from dataclasses import dataclass

from ingest.meta.graph.answers import Answer, read_page
from ingest.meta.graph.asks import LEAD_FIELDS, Ask, ask_form, ask_forms
from ingest.meta.graph.text import Json

SAMPLE_FIELDS = tuple(name for name in LEAD_FIELDS if name != "field_data")
_LEADS = 5  # the newest; one alone may be organic, and then has no ad


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Some leads of a page: how many there were, and which names their ads lack though the leads have an ad."""

    leads: int
    left_out: tuple[str, ...] = ()


def ask_form_with_leads(page_id: str) -> Ask:
    """Asks for a page's forms and how many leads each has; BadAsk for no id."""
    params = (("fields", "id,leads_count,expired_leads_count"), ("limit", "50"))
    return Ask(path=ask_forms(page_id).path, params=params, about=None)


def read_form_with_leads(answer: Answer) -> str | None:
    """The form with most leads that can be read; None where none has any."""
    counted = {
        str(form.get("id")): _readable(form.get("leads_count"), form.get("expired_leads_count"))
        for form in read_page(answer).items
    }
    form_id = max(counted, key=lambda each: counted[each], default=None)
    return form_id if form_id is not None and counted[form_id] > 0 else None


def ask_sample(form_id: str) -> Ask:
    """Asks for its newest leads, with every field that fetch asks for but the answers."""
    params = (("fields", ",".join(SAMPLE_FIELDS)), ("limit", str(_LEADS)))
    return Ask(path=f"{ask_form(form_id).path}/leads", params=params, about=None)


def read_sample(answer: Answer) -> Sample:
    """How many came, and what is missing of them. Unavailable where it is no list."""
    leads = read_page(answer).items
    of_ads = [lead for lead in leads if lead.get("ad_id")]
    names = ("ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name")
    left_out = [name for name in names if of_ads and not any(lead.get(name) for lead in of_ads)]
    return Sample(leads=len(leads), left_out=tuple(left_out))


def _readable(made: Json, expired: Json) -> int:
    return (made if isinstance(made, int) else 0) - (expired if isinstance(expired, int) else 0)
