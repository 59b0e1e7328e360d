"""A form: its node as Graph serves it, and what kind of leads come through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import yaml

from deploy.sandbox.graph.ids import ADS, ADSETS, CAMPAIGNS, FORM_IDS, PARTS

AD_SLOTS = (None, 0, 1, 0, None, 2, 0)
"""Which of a form's ads the n-th lead came through, by n modulo 7; None is organic."""


class Option(TypedDict):
    """One answer a question offers."""

    key: str
    value: str


class Question(TypedDict):
    """A question in the shape of Graph's LeadgenForm.questions; the underscored keys are hints for made-up answers."""

    type: str
    key: str
    label: str
    id: NotRequired[str]
    options: NotRequired[list[Option]]
    inline_context: NotRequired[str]
    _texts: NotRequired[list[str]]
    _several: NotRequired[int]
    _optional: NotRequired[bool]
    _only: NotRequired[str]
    _conditional: NotRequired[bool]


class Shape(TypedDict, total=False):
    """What is special about the leads of a form."""

    vehicle: bool
    home_listing: bool
    submission_check: bool
    phone_verified: bool
    national_phone: bool
    any_country: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One version of a form. `node` is what Graph serves, without the counters; `questions` still has the hints."""

    number: int
    page: int
    template: str
    country: str
    shape: Shape
    questions: Sequence[Question]
    node: Mapping[str, object]
    ads: Sequence[int] = field(default=(0, 1, 2))

    @property
    def form_id(self) -> str:
        """The form's id."""
        return FORM_IDS.id_of(self.number)

    def ad_slot(self, n: int) -> int | None:
        """Which ad the n-th lead came through; None for an organic lead."""
        slot = AD_SLOTS[n % len(AD_SLOTS)]
        if slot is None and not self.node.get("allow_organic_lead", True):
            return 0
        return slot

    def organic_among(self, count: int) -> int:
        """How many of the leads 0 to count-1 are organic."""
        turns, rest = divmod(count, len(AD_SLOTS))
        per_turn = sum(self.ad_slot(n) is None for n in range(len(AD_SLOTS)))
        return turns * per_turn + sum(self.ad_slot(n) is None for n in range(rest))

    def ad_fields(self, n: int) -> Mapping[str, str]:
        """The ad, ad set and campaign of the n-th lead; empty for an organic one."""
        slot = self.ad_slot(n)
        return {} if slot is None else _ad_fields(self.number, self.page, self.country, str(self.node["name"]), slot)


@lru_cache(maxsize=10_000)
def _ad_fields(form: int, page: int, country: str, name: str, slot: int) -> Mapping[str, str]:
    return {
        "ad_id": ad_id(form, slot),
        "ad_name": f"{name} / {('video', 'carousel', 'image')[slot]}",
        "adset_id": ADSETS.id_of(form),
        "adset_name": f"{country} 25-54, lookalike",
        "campaign_id": CAMPAIGNS.id_of(page),
        "campaign_name": f"Leads | {country} | Q4, “always on”",
    }


def ad_id(form: int, slot: int) -> str:
    """The id of one of a form's ads."""
    return ADS.id_of(form * 10 + slot)


def ad_number(object_id: str) -> tuple[int, int] | None:
    """`(form, slot)` of an ad's id, or None if no form has such an ad."""
    number = ADS.number_of(object_id)
    if number is None or number % 10 not in AD_SLOTS:
        return None
    return divmod(number, 10)


class Template(TypedDict):
    """One entry of forms.yaml."""

    country: str
    shape: Shape
    node: dict[str, object]


@cache
def templates() -> dict[str, Template]:
    """Every form of forms.yaml by name."""
    text = (Path(__file__).parent / "forms.yaml").read_text(encoding="utf-8")
    return cast("dict[str, Template]", yaml.safe_load(text))


def build_form(
    number: int, *, page: int, page_id: str, template: str, created_time: str, changes: Mapping[str, object]
) -> Form:
    """A form made from a template; `changes` replaces fields of its node (`questions`, `name`, `status`, ...)."""
    source = templates()[template]
    node = {**source["node"], **changes}
    questions = cast("list[Question]", node["questions"])
    form_id = FORM_IDS.id_of(number)
    served: dict[str, object] = {
        "id": form_id,
        "page_id": page_id,
        "page": {"id": page_id},
        "created_time": created_time,
        "block_display_for_non_targeted_viewer": False,
        **node,
        "questions": [_served_question(question, form=number, place=place) for place, question in enumerate(questions)],
    }
    for place, part in enumerate(("context_card", "thank_you_page", "legal_content")):
        if isinstance(inner := served.get(part), Mapping):
            served[part] = {"id": PARTS.id_of(number * 1000 + 900 + place), **inner}
    _number_checkboxes(served, number)
    legal = served.get("legal_content")
    if isinstance(legal, Mapping) and isinstance(policy := legal.get("privacy_policy"), Mapping):
        served["privacy_policy_url"] = policy["url"]
    return Form(
        number=number,
        page=page,
        template=template,
        country=source["country"],
        shape=source["shape"],
        questions=questions,
        node=served,
    )


def _served_question(question: Question, *, form: int, place: int) -> dict[str, object]:
    served: dict[str, object] = {key: value for key, value in question.items() if not key.startswith("_")}
    served["id"] = PARTS.id_of(form * 1000 + place)
    if question.get("_conditional"):
        # Authored in the form builder only; Graph shows them (SDK adobjects/leadgenquestion.py).
        served["conditional_questions_group_id"] = PARTS.id_of(form * 1000 + 500 + place)
        served["conditional_questions_choices"] = [
            {
                "customized_token": option["key"],
                "value": option["value"],
                "next_question_choices": [{"customized_token": f"{option['key']}_sport", "value": "Sport"}],
            }
            for option in question.get("options", [])
        ]
        served["dependent_conditional_questions"] = [
            {"field_key": "trim_level", "name": "Which trim?", "input_type": "SHORT_ANSWER"}
        ]
    return served


def _number_checkboxes(node: dict[str, object], form: int) -> None:
    legal = node.get("legal_content")
    if not isinstance(legal, Mapping) or not isinstance(disclaimer := legal.get("custom_disclaimer"), Mapping):
        return
    boxes = [
        {"id": PARTS.id_of(form * 1000 + 700 + place), **box} for place, box in enumerate(disclaimer["checkboxes"])
    ]
    node["legal_content"] = {**legal, "custom_disclaimer": {**disclaimer, "checkboxes": boxes}}
