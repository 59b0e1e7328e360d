"""What Kafka knows: what the workers were told is wrong by itself only where nothing else explains it."""

import json

import pytest
from pydantic import SecretStr

from deploy.doctor.known import evidence
from deploy.doctor.standings import add_standings
from ingest.health import Finding, found
from ingest.meta.errors import Scope
from ingest.meta.pages import PageAccess
from ingest.records import OTHER, RAW, Received
from processors.access import AccessStates, State

NOW = 1_795_000_000_000
PAGES = [PageAccess(page_id=page_id, token=SecretStr(f"planted {page_id}"), app_id="7") for page_id in ("1", "2")]
MODE = found("app-mode-unknown", "what", app_id="7")


def told(scope: Scope, state: State, reason: str, *findings: Finding) -> list[tuple[str, str, str | None]]:
    """Code, severity and page of what is told when page 1 stands so."""
    states = AccessStates(secret=SecretStr("app secret"), clock=lambda: NOW)
    until = NOW + 60_000 if state == "paused" else None
    value = {"state": state, "until": until, "reason": reason, "at": NOW - 60_000, "page_id": "1"}
    states.take(states.key(PAGES[0], scope), json.dumps(value).encode())
    added = add_standings([*findings], states, PAGES)
    assert not any("planted" in repr(each) for each in added)
    return [(each.code, each.severity, each.page_id) for each in added]


@pytest.mark.parametrize("scope", ["token", "page"])
def test_what_is_broken_without_a_cause_is_wrong(scope: Scope) -> None:
    assert told(scope, "broken", "password-changed") == [("access-broken", "wrong", "1")]


def test_what_is_broken_for_a_cause_that_is_told_is_its_consequence() -> None:
    cause = found("token-password-changed", "what", page_id="1")
    assert told("token", "broken", "password-changed", cause)[1:] == [("access-broken", "warning", "1")]
    elsewhere = found("token-password-changed", "what", page_id="2")
    assert told("token", "broken", "password-changed", elsewhere)[1:] == [("access-broken", "wrong", "1")]


def test_an_app_that_stands_still_is_told_once_for_all_of_its_pages() -> None:
    assert told("app", "paused", "app-limit") == [("access-paused", "warning", None)]


def test_leads_that_are_missing_though_they_may_be_read_are_a_sign_of_development_mode() -> None:
    granted = found("lead-access-granted", "what", page_id="1")
    codes = [code for code, *_ in told("page", "doubtful", "not-found", granted, MODE)]
    assert codes == ["lead-access-granted", "app-mode-suspected", "access-doubtful"]
    assert [code for code, *_ in told("page", "doubtful", "not-found", MODE)] == ["app-mode-unknown", "access-doubtful"]


def received(topic: str, page_id: str | None, value: str, at: int, source: str = "webhook") -> Received:
    return Received(
        topic=topic,
        partition=0,
        offset=at,
        key=None if page_id is None else page_id.encode(),
        value=value.encode(),
        headers=(("source", source.encode()),),
        timestamp=at,
    )


def test_only_what_came_to_the_door_is_evidence_of_what_comes_there() -> None:
    raw = [received(RAW, "1", "{}", 5), received(RAW, "1", "{}", 3), received(RAW, "2", "{}", 9, "reconcile")]
    other = [
        received(OTHER, "1", '{"id":"1","changed_fields":["leadgen"]}', 4),
        received(OTHER, "1", '{"field":"feed","value":{"changed_fields":1}}', 8),
        received(OTHER, "2", "not JSON", 8),
        received(OTHER, None, '{"changed_fields":[]}', 8),
    ]
    found_ = evidence(raw, other)
    assert (found_.with_values, found_.without_values) == ({"1": 5}, {"1": 4})
