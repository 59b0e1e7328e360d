"""The webhooks the Graph double sends: exact bytes, signatures, every way to write an id, and the odd ones out."""

import hashlib
import hmac
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.graph.crafted import Crafted, craft
from deploy.sandbox.graph.shapes import AdStyle, CraftedKind, IdStyle
from deploy.sandbox.graph.state import State
from deploy.sandbox.graph.webhooks import escaped, leadgen_value, signed_headers


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    found = State(tmp_path, seed=1, pages=3, history=0)
    yield found
    found.close()


def crafted(state: State, kind: CraftedKind) -> Crafted:
    return craft(state, kind, 0, field="feed", chance=random.Random(1))  # noqa: S311 - a repeatable test


def is_signed(post: Crafted, secret: str) -> bool:
    digest = hmac.new(secret.encode(), post.body, hashlib.sha256).hexdigest()
    return post.headers.get("X-Hub-Signature-256") == f"sha256={digest}"


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_the_body_is_ascii_with_metas_escapes_and_says_the_same(payload: dict[str, object]) -> None:
    body = escaped(payload)
    assert json.loads(body) == payload
    assert body.isascii()
    assert not set(b"<%@") & set(body)
    assert body.replace(rb"\\", b"").replace(rb"\/", b"").count(b"/") == 0


def test_escapes_are_those_meta_documents() -> None:
    assert escaped({"t": "äöå/<%@"}) == rb'{"t":"\u00e4\u00f6\u00e5\/\u003C\u0025\u0040"}'


def test_both_signatures_are_over_the_raw_bytes() -> None:
    body = escaped({"t": "ä"})
    headers = signed_headers(body, "secret", version="v25.0")
    assert headers["X-Hub-Signature-256"] == "sha256=" + hmac.new(b"secret", body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature"] == "sha1=" + hmac.new(b"secret", body, hashlib.sha1).hexdigest()


@pytest.mark.parametrize("ids", get_args(IdStyle))
@pytest.mark.parametrize("ads", get_args(AdStyle))
def test_ids_are_exact_in_every_style(state: State, ids: IdStyle, ads: AdStyle) -> None:
    chance = random.Random(1)  # noqa: S311 - a repeatable test
    page_id = state.world.page(0).page_id
    seen = set()
    for n in state.make_leads(2, 20, start=1_795_000_000, end=1_795_000_000):
        lead = state.lead(2, n)
        value = leadgen_value(lead, page_id, ids=ids, ads=ads, chance=chance)
        seen.add(type(value["leadgen_id"]))
        assert str(value["leadgen_id"]) == lead.lead_id
        assert str(value["form_id"]) == lead.form.form_id
        assert value["created_time"] == 1_795_000_000
    assert seen == {"integer": {int}, "string": {str}, "mixed": {int, str}}[ids]


@pytest.mark.parametrize(
    ("style", "shown"),
    [
        ("absent", {"nothing"}),
        ("null", {"None"}),
        ("zero", {"0", "'0'"}),
        ("mixed", {"nothing", "None", "0", "'0'"}),
    ],
)
def test_a_lead_without_an_ad_says_so_in_the_chosen_way(state: State, style: AdStyle, shown: set[str]) -> None:
    chance = random.Random(1)  # noqa: S311 - a repeatable test
    seen = set()
    for n in state.make_leads(0, 140, start=1, end=1):
        lead = state.lead(0, n)
        value = leadgen_value(lead, "1", ids="mixed", ads=style, chance=chance)
        assert value.get("adgroup_id") == value.get("ad_id")
        if lead.ad_slot is None:
            seen.add(repr(value["ad_id"]) if "ad_id" in value else "nothing")
        else:
            assert str(value["ad_id"]) == lead.form.ad_fields(n)["ad_id"]
    assert seen == shown


def test_every_kind_is_json_about_pages_and_signed_unless_that_is_its_point(state: State) -> None:
    ours, foreign = state.world.app.secret, state.world.foreign_app.secret
    for kind in get_args(CraftedKind):
        post = crafted(state, kind)
        assert is_signed(post, ours) == (kind not in ("unsigned", "wrong_signature"))
        assert is_signed(post, foreign) == (kind == "wrong_signature")
        if kind not in ("not_json", "crm_setup"):
            payload = json.loads(post.body)
            assert payload["object"] == "page"
            assert all(isinstance(entry["time"], int) for entry in payload["entry"])


def changes_of(post: Crafted) -> list[dict[str, Any]]:
    (entry,) = json.loads(post.body)["entry"]
    found: list[dict[str, Any]] = entry["changes"]
    return found


def test_the_dashboards_sample_is_the_same_lead_twice_on_page_zero(state: State) -> None:
    post = crafted(state, "dashboard_sample")
    assert json.loads(post.body)["entry"][0]["id"] == "0"
    assert [change["value"]["leadgen_id"] for change in changes_of(post)] == ["444444444444"] * 2


def test_values_switched_off_leave_only_names(state: State) -> None:
    (entry,) = json.loads(crafted(state, "changed_fields").body)["entry"]
    assert entry["changed_fields"] == ["leadgen"]
    assert "changes" not in entry


def test_an_update_names_a_lead_and_quotes_its_time(state: State) -> None:
    post = crafted(state, "leadgen_update")
    (change,) = changes_of(post)
    assert change["field"] == "leadgen_update"
    assert change["value"]["leadgen_id"] == int(post.leads[0].lead_id)
    assert isinstance(change["value"]["updated_time"], str)


def test_a_bad_change_stands_among_three_good_ones(state: State) -> None:
    post = crafted(state, "one_bad_change")
    readable = [
        str(c["value"]["leadgen_id"]) for c in changes_of(post) if not isinstance(c["value"]["leadgen_id"], dict)
    ]
    assert readable == [lead.lead_id for lead in post.leads]
    assert len(changes_of(post)) == 4


def test_a_lead_deleted_before_it_is_fetched_is_announced_all_the_same(state: State) -> None:
    post = crafted(state, "deleted_lead")
    assert str(changes_of(post)[0]["value"]["leadgen_id"]) == post.leads[0].lead_id
    assert state.readable_lead(post.leads[0].lead_id) is None


def test_the_crm_setup_shape_is_flat_lists(state: State) -> None:
    payload = json.loads(crafted(state, "crm_setup").body)
    assert "entry" not in payload
    assert all(isinstance(value, list) for value in payload.values())
