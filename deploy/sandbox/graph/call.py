"""A call to Graph and its answer, whether it came alone or inside a batch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploy.sandbox.graph.errors import Refusal
from deploy.sandbox.graph.forms import ad_number
from deploy.sandbox.graph.ids import lead_number
from deploy.sandbox.graph.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call. `path` has no version; `base` is `http://host/version`, from which paging links are made."""

    method: str
    path: tuple[str, ...]
    params: Mapping[str, str]
    token: str | None
    version: str
    base: str


@dataclass(slots=True, kw_only=True)
class Answer:
    """What is sent back, `delay` seconds later.

    `headers` are those of this call only, with lower-case names. `code` is for the call log: Graph's error code, 0
    without one, -1 for what is broken. `breaks` says how the connection breaks instead of the body, or within it.
    """

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    code: int = 0
    delay: float = 0.0
    breaks: Literal["hang", "reset", "null", "short"] | None = None


_ENCODER = json.JSONEncoder(separators=(",", ":"))

TargetKind = Literal["lead", "form", "ad", "page", "app", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an id in a path stands for, whether or not the caller may know."""

    kind: TargetKind
    object_id: str = ""
    page: int | None = None
    form: int | None = None
    n: int | None = None
    ad_slot: int | None = None


NOTHING = Target(kind="none")


def find_target(state: State, object_id: str) -> Target:
    """What this id stands for."""
    lead = lead_number(object_id)
    if lead is not None:
        form, n = lead
        if state.form_exists(form):
            return Target(kind="lead", object_id=object_id, page=state.page_of(form), form=form, n=n)
    elif (number := state.form_number(object_id)) is not None:
        return Target(kind="form", object_id=object_id, page=state.page_of(number), form=number)
    elif (number := state.page_number(object_id)) is not None:
        return Target(kind="page", object_id=object_id, page=number)
    elif (ad := ad_number(object_id)) is not None and state.form_exists(ad[0]):
        return Target(kind="ad", object_id=object_id, page=state.page_of(ad[0]), form=ad[0], ad_slot=ad[1])
    elif object_id in (state.world.app.app_id, state.world.foreign_app.app_id):
        return Target(kind="app", object_id=object_id)
    return Target(kind="none", object_id=object_id)


def refused(refusal: Refusal) -> Answer:
    """A refusal as an answer."""
    headers = {}
    if refusal.code == 190:  # noqa: PLR2004 - the code of everything that is wrong with a token
        headers["www-authenticate"] = f'OAuth "Facebook Platform" "invalid_token" "{refusal.message}"'
    return Answer(status=refusal.status, body=refusal.body(), code=refusal.code, headers=headers)


def graph_json(value: object) -> str:
    """JSON as Graph writes it: compact, with escaped unicode and slashes."""
    return _ENCODER.encode(value).replace("/", "\\/")
