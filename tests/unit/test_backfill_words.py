"""What a backfill says: what is to be read, how far it is, and what to do about the rest."""

import json
from pathlib import Path

import pytest

from deploy.backfill.checkpoint import Checkpoint
from deploy.backfill.choosing import Edge, Unfound
from deploy.backfill.progress import Watch
from deploy.backfill.words import Outcome, calls, in_json, remedy, show_plan, show_report
from ingest.backfill import Stand
from ingest.meta.errors import AccessLost, refusal
from ingest.meta.graph.bulk import CountedForm


def form(form_id: str, leads: int | None, *, expired: int = 0, name: str = "Spring") -> Edge:
    counted = CountedForm(
        form_id=form_id, page_id="7", name=name, status="ACTIVE", leads=leads, organic=None, expired=expired
    )
    return Edge(kind="form", edge_id=form_id, page_id="7", counted=counted)


BIG, SMALL, AD = (
    form("1", 1300, expired=100),
    form("2", 3, name="Two\nlines \x1b[31m"),
    Edge(kind="ad", edge_id="9", page_id="7"),
)


def plan(**stands: Stand) -> Checkpoint:
    named = {"big": BIG, "small": SMALL, "ad": AD}
    checkpoint = Checkpoint(file=Path("nowhere"), since=None, until=1_795_000_000, edges=[BIG, SMALL, AD])
    checkpoint.stands = {(named[name].kind, named[name].edge_id): stand for name, stand in stands.items()}
    return checkpoint


def test_the_plan_tells_leads_calls_and_budget_of_each_page(capsys: pytest.CaptureFixture[str]) -> None:
    show_plan(Outcome(checkpoint=plan(big=Stand(after="c", read=600)), unfound=(), used={"7": 60.0}))
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert ["form", "1", "7", "Spring", "1200", "600", "2"] in rows
    assert ["ad", "9", "7", "-", "0", "-"] in rows
    assert "page 7: about 4 calls; Meta allows about 5774400 a day for that many leads, 40 % of its budget left" in said
    assert "before 2026-11-18 11:06:40 UTC" in said
    assert "\x1b" not in said


def test_calls_are_those_that_are_left() -> None:
    assert [calls(BIG, stand) for stand in (Stand(), Stand(read=1000), Stand(read=1, done=True))] == [3, 1, 0]
    assert calls(form("3", 0), Stand()) == 1, "that there are none is found out by one"
    assert calls(AD, Stand()) is None


def test_the_report_names_what_is_missing_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = plan(
        big=Stand(read=1200, written=1100, outside=4, done=True, missing_fields=("vehicle",)),
        small=Stand(read=2, written=1, refused=(("77", "does-not-fit"),)),
    )
    outcome = Outcome(
        checkpoint=checkpoint,
        failed={SMALL: "token-expired", AD: "timeout"},
        unfound=[Unfound(kind="page", of="8", reason="no-token")],
    )
    show_report(outcome)
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines()]
    assert ["form", "1", "7", "Spring", "1200", "1200", "1100", "100", "4", "done"] in rows
    assert ["all", "1202", "1101", "100", "4"] in rows
    assert "form 1: the token may not read vehicle" in said
    assert "lead 77 cannot be written: does-not-fit" in said
    assert (
        "page 7: token-expired: put a new token of the page into META_PAGES_FILE. Not read to the end: form 2" in said
    )
    assert "page 7: timeout: Meta did not answer: run it again later. Not read to the end: ad 9" in said
    assert "page 8 cannot be read: no-token: " in said
    assert not outcome.whole


def test_the_same_is_told_to_programs() -> None:
    outcome = Outcome(checkpoint=plan(big=Stand(read=9, written=9)), failed={BIG: "permission"}, unfound=[])
    told = json.loads(json.dumps(in_json(outcome)))
    assert (told["whole"], told["until"], [row.get("form") for row in told["read"]]) == (
        False,
        1_795_000_000,
        ["1", "2", None],
    )
    first = told["read"][0]
    assert (first["at_meta"], first["read"], first["reason"], first["done"]) == (1200, 9, "permission", False)
    assert "Leads Access Manager" in first["what_to_do"]


@pytest.mark.parametrize(
    ("stand", "whole"),
    [
        (Stand(done=True), True),
        (Stand(), False),
        (Stand(done=True, unreadable=1), False),
        (Stand(done=True, refused=(("1", "unacceptable"),)), False),
    ],
)
def test_it_is_whole_when_every_lead_that_was_to_be_had_is_here(stand: Stand, whole: bool) -> None:
    outcome = Outcome(checkpoint=plan(big=stand, small=Stand(done=True), ad=Stand(done=True)), failed={}, unfound=[])
    assert outcome.whole == whole


def test_nobody_who_lost_access_is_told_to_wait() -> None:
    said = [{"code": code, "error_subcode": subcode} for code in range(300) for subcode in (None, *range(458, 493))]
    wrong_proof = {"code": 100, "type": "GraphMethodException"}
    errors = [refusal(envelope, 400) for envelope in (*said, wrong_proof)]
    lost = {error.reason for error in errors if isinstance(error, AccessLost)}
    assert {"token-expired", "permission", "app-secret"} <= lost
    assert not [reason for reason in lost if "again later" in remedy(reason)]


def test_where_there_is_no_terminal_a_line_says_now_and_then_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    watch = Watch(clock=lambda: now)
    watch.say("before it is known how many there are")
    with watch.counting(1000, done=100, used=lambda: 25.0):
        for _ in range(12):
            now += 2.0
            watch.at(watch.done + 50)
        watch.say("page 7 waits")
    assert capsys.readouterr().err.splitlines() == [
        "before it is known how many there are",
        "400 of about 1000 leads read, 25 a second, 75 % of the budget left",
        "700 of about 1000 leads read, 25 a second, 75 % of the budget left",
        "page 7 waits",
    ]


def test_the_rate_is_that_of_the_last_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    watch = Watch(clock=lambda: now)
    with watch.counting(None, used=lambda: None):
        for now, done in ((0.0, 0), (60.0, 0), (70.0, 100)):  # noqa: B007  the clock reads it
            watch.at(done)
        assert watch.sentence() == "10 a second"
    assert "of about" not in capsys.readouterr().err
