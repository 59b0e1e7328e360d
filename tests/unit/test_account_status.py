"""`leadstream status` as it is read: the table, the lines, the verdict and what to do."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.account import Account
from deploy.account.cli import in_json, show
from deploy.account.words import ago, moment, verdict
from deploy.cli import app
from ingest.records import ACCESS, DETAILS, LEADS, RAW, Record
from tests.cluster import NOW
from tests.past import OTHER_PAGE, PAGE, Past


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


def shown(account: Account, *, every: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120, highlight=False, soft_wrap=True)
    show(account, console, every=every)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_accounted_for_is_one_line_that_adds_up(past: Past) -> None:
    past.arrive(past.raw())
    past.arrive(past.raw())
    past.bury(past.raw())
    assert verdict(past.account()) == "Every acknowledged lead is accounted for: 3 = 2 fetched + 1 dead."


def test_before_the_first_lead_it_says_so(past: Past) -> None:
    assert verdict(past.account()) == "Every acknowledged lead is accounted for: 0 = nothing yet."


def test_the_table_has_a_row_for_each_page_of_which_something_is_not_fetched(past: Past) -> None:
    past.arrive(past.raw())
    past.arrive(past.raw(OTHER_PAGE))
    past.park(past.raw(OTHER_PAGE))
    rows = [line.split() for line in shown(past.account()).splitlines()]
    assert rows[0] == ["page", "records", "fetched", "parked", "lost"]
    assert rows[1] == [OTHER_PAGE, "2", "1", "1", "0"]
    assert rows[2] == ["all", "2", "pages", "3", "2", "1", "0"]
    assert [PAGE, "1", "1", "0", "0"] in [line.split() for line in shown(past.account(), every=True).splitlines()]
    assert [PAGE, "1", "1", "0", "0"] not in rows


def test_the_lines_tell_what_is_behind_what_may_not_be_asked_and_what_was_given_up(past: Past) -> None:
    until = past.now + 60_000
    told = {"state": "paused", "until": until, "reason": "over-budget", "at": NOW, "page_id": PAGE}
    past.cluster.put(Record(topic=ACCESS, key=b"token:1f2e", value=json.dumps(told).encode()))
    past.park(past.raw(), "no-token")
    past.bury(past.raw())
    past.stand(past.raw())
    past.arrive(past.raw())
    lines = shown(past.account()).splitlines()
    assert "fetch     2 records to read, the oldest 59 minutes old" in lines
    assert "retry     has read everything" in lines
    assert any(line.startswith(f"access    token:1f2e (page {PAGE}) is paused until 2026-11-24T") for line in lines)
    assert {"parked    1 no-token", "dead      1 fetch not-found", "map       leads.v1: 1 leads = 1 mapped"} <= set(
        lines
    )


def test_the_lines_of_several_targets_are_aligned_and_tell_why_one_has_fewer(past: Past) -> None:
    past.targets = ("billing.v1", "sales.v2")
    for _ in range(9):
        past.map(past.fetch(past.raw()), past.targets)
    failed = past.fetch(past.raw())
    past.bury(failed, "required", stage="map", target="billing.v1")
    past.map(failed, past.targets, without=("billing.v1",))
    assert "skipped" not in shown(past.account())
    past.map(past.fetch(past.raw()), ("sales.v2",))
    lines = shown(past.account()).splitlines()
    first = lines.index("map       leads.v1:             11 leads = 11 mapped")
    assert lines[first + 1] == "map       leads.crm.billing.v1: 11 leads = 9 mapped, 1 dead, 1 skipped"
    assert lines[first + 2] == "map       leads.crm.sales.v2:   11 leads = 11 mapped"
    assert "`leadstream replay map --to earliest` brings them" in lines[first + 3]
    assert "dead      1 map billing.v1 required" in lines


def test_json_has_each_target_and_for_which_a_letter_is(past: Past) -> None:
    past.targets = ("billing.v1", "sales.v2")
    failed = past.fetch(past.raw())
    past.bury(failed, "required", stage="map", target="billing.v1")
    past.map(failed, past.targets, without=past.targets)
    told = json.loads(json.dumps(in_json(past.account())))
    assert told["map"] == {
        LEADS: {"mapped": 1},
        "leads.crm.billing.v1": {"dead": 1},
        "leads.crm.sales.v2": {"lost": 1},
    }
    assert told["dead"] == [{"stage": "map", "target": "billing.v1", "reason": "required", "letters": 1}]
    assert [each["target"] for each in told["lost"]["examples"]] == ["leads.crm.sales.v2"]


def test_an_alarm_names_page_places_leads_and_the_command_that_helps(past: Past) -> None:
    past.arrive(past.raw())
    gone = past.raw()
    said = verdict(past.account())
    assert all(part in said for part in (PAGE, f"{RAW} {gone.partition}@{gone.offset}", past.lead_of(gone)))
    assert f"`leadstream replay fetch --page {PAGE} --since {moment(gone.timestamp)} --yes`" in said


def test_an_alarm_names_some_examples_however_much_is_lost(past: Past) -> None:
    for _ in range(50):
        past.raw()
    past.raw(OTHER_PAGE)
    account = past.account()
    assert (account.lost.count, len(account.lost.examples)) == (51, 5)
    assert "51 acknowledged records" in verdict(account)
    assert "and 1 other page were" in verdict(account)


def test_an_alarm_of_map_names_the_lead_and_the_command_that_helps(past: Past) -> None:
    details = past.fetch(past.raw())
    said = verdict(past.account())
    assert (
        f"1 leads were passed over on their way to {LEADS}, as {DETAILS} {details.partition}@{details.offset}" in said
    )
    assert f"leadstream replay map --lead {(details.key or b'').decode()} --yes" in said


def test_an_alarm_says_when_records_expired_unread(past: Past) -> None:
    past.arrive(past.raw())
    past.expired, past.stands = {past.cluster.topics(RAW)}, {RAW: {0: 0, 1: 0}}
    assert "EXPIRED: 1 records were deleted by their topic's retention before `work fetch`" in verdict(past.account())


def test_json_has_all_of_it(past: Past) -> None:
    past.arrive(past.raw())
    past.bury(past.raw())
    lost = past.raw()
    told = json.loads(json.dumps(in_json(past.account())))
    assert told["pages"] == {PAGE: {"dead": 1, "fetched": 1, "lost": 1}}
    assert (told["accounted_for"], told["total"]["fetched"], told["map"]) == (False, 1, {LEADS: {"mapped": 1}})
    assert told["dead"] == [{"stage": "fetch", "target": None, "reason": "not-found", "letters": 1}]
    [example] = told["lost"]["examples"]
    assert (example["lead_id"], example["acknowledged"]) == (past.lead_of(lost), lost.timestamp)


def test_json_has_no_end_where_none_was_asked_for(past: Past) -> None:
    assert in_json(past.account())["until"] is None
    assert in_json(past.account(until=NOW))["until"] == NOW


@pytest.mark.parametrize(
    ("milliseconds", "said"),
    [
        (0, "a moment"),
        (1_000, "1 second"),
        (59_999, "59 seconds"),
        (120_000, "2 minutes"),
        (3_600_000, "1 hour"),
        (3 * 86_400_000, "3 days"),
        (-5, "a moment"),
    ],
)
def test_an_age_is_told_in_words(milliseconds: int, said: str) -> None:
    assert ago(NOW, NOW + milliseconds) == said


def test_it_has_an_example_and_refuses_what_is_no_time() -> None:
    shown = CliRunner().invoke(app, ["status", "--help"])
    assert "Example: leadstream status " in " ".join(shown.stdout.split())
    assert CliRunner().invoke(app, ["status", "--since", "yesterday"]).exit_code == 2
