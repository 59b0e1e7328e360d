"""A person's word brings parked leads back, with `work retry` nowhere: once, in their order, and only if it is true."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.sandbox.graph.shapes import PageInfo
from ingest.records import ACCESS, AGAIN, DETAILS, FATES, PARKED, Received
from tests.commands import Commands, answers_of
from tests.programs import System, eventually


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    return Commands(system, tmp_path)


def parked_leads(system: System, page: PageInfo, count: int) -> Sequence[str]:
    """So many leads of a page whose token is dead, each parked once."""
    system.graph.kill_token(page.page_id)
    system.graph.wait(system.graph.deliver(system.webhook, count, page=page.page_id, duplicates=0.0).job)
    eventually(lambda: len(system.records(PARKED)) == count, 60, "all of the page's leads are parked")
    return system.graph.acknowledged()


def origins(records: Sequence[Received]) -> list[str]:
    return [record.origin for record in records]


def told(system: System) -> str:
    """All that we have put on topics ourselves: headers, fates, access."""
    headers = [
        f"{name} {value!r}"
        for topic in (PARKED, AGAIN, FATES, DETAILS, ACCESS)
        for record in system.records(topic)
        for name, value in record.headers
    ]
    return "\n".join(
        headers + [f"{record.key!r} {record.value!r}" for topic in (FATES, ACCESS) for record in system.records(topic)]
    )


def test_leads_of_a_dead_token_are_listed_and_released_once_it_lives_again(
    system: System, leadstream: Commands
) -> None:
    for program in [system.start("serve"), system.start("work", "fetch")]:
        program.wait_ready()
    page, other = system.graph.pages()[:2]
    leads = parked_leads(system, page, 20)
    system.graph.wait(system.graph.deliver(system.webhook, 5, page=other.page_id).job)
    eventually(lambda: len(system.keys(DETAILS)) == 5, 60, "the other page's leads")

    listed = leadstream.asked("parked", "list")
    assert sorted(row["lead"] for row in listed["records"]) == sorted(leads)
    assert listed["counts"] == [{"page": page.page_id, "reason": "password-changed", "records": 20}]
    assert leadstream.asked("parked", "list", "--page", other.page_id) == {"records": [], "counts": []}
    shown = leadstream("parked", "list").stdout
    assert {lead for lead in leads if lead not in shown} == set()

    system.graph.repair_token(page.page_id)
    marked = len(system.records(ACCESS))
    plan = leadstream.asked("parked", "release", "--page", page.page_id)
    assert (plan["send"], plan["leave"]) == (listed["counts"], [])
    assert [(row["state"], row["page"]) for row in plan["open"]] == [("broken", page.page_id)]
    dry = leadstream("parked", "release", "--page", page.page_id)
    assert (dry.returncode, "Nothing was done." in dry.stderr) == (0, True)
    assert (system.records(AGAIN), len(system.records(ACCESS))) == ([], marked)

    assert leadstream("parked", "release", "--page", page.page_id, "--yes").returncode == 0
    eventually(lambda: set(leads) <= system.keys(DETAILS), 60, "the page's leads on details")
    # Of one page, and so of one partition of each topic.
    assert origins(system.records(AGAIN)) == origins(system.records(PARKED))
    fates = [json.loads(record.value or b"") for record in system.records(FATES)]
    assert sorted((fate["origin"], fate["offset"]) for fate in fates if fate["fate"] == "released") == sorted(
        (record.origin, record.offset) for record in system.records(PARKED)
    )

    again = leadstream("parked", "release", "--yes")
    assert (again.returncode, "Nothing to send." in again.stderr) == (0, True)
    assert (len(system.records(AGAIN)), leadstream.asked("parked", "list")["records"]) == (20, [])

    secrets = {page.token, other.token, system.graph.app().secret}
    private = secrets | {value for lead in leads for value in answers_of(system, lead)}
    assert {value for value in private if value in told(system) or value in leadstream.said} == set()


def test_what_is_released_before_the_repair_is_parked_again_for_a_few_calls(
    system: System, leadstream: Commands
) -> None:
    for program in [system.start("serve"), system.start("work", "fetch")]:
        program.wait_ready()
    page = system.graph.pages()[0]
    leads = parked_leads(system, page, 30)
    calls = system.graph.calls(page=page.page_id).total

    assert leadstream("parked", "release", "--yes").returncode == 0
    eventually(lambda: len(system.records(PARKED)) == 60, 60, "all of them are parked again")
    assert 0 < system.graph.calls(page=page.page_id).total - calls <= 10
    listed = leadstream.asked("parked", "list")["records"]
    assert sorted(row["lead"] for row in listed) == sorted(leads)

    system.graph.repair_token(page.page_id)
    assert leadstream("parked", "release", "--yes").returncode == 0
    eventually(lambda: set(leads) <= system.keys(DETAILS), 60, "all of them on details")
