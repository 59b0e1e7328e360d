"""Leads that nobody was told of are read from Meta in bulk, once, whatever ends a run in between."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.reading import Decoder
from ingest.bulk import MOST_AT_ONCE
from ingest.records import DETAILS, LEADS
from ingest.settings import RegistrySettings
from schemas.shapes import LeadDetails
from tests.commands import Commands, answers_of
from tests.programs import LEADSTREAM, System, eventually

LEADS_OF_THE_FORM = 3_000
DAY = 24 * 3600.0


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    system.env["XDG_STATE_HOME"] = str(tmp_path / "state")
    return Commands(system, tmp_path)


def written(system: System) -> Counter[str]:
    """How often each lead lies on details."""
    return Counter((record.key or b"").decode() for record in system.records(DETAILS))


def kept(folder: Path) -> str:
    """All that a run leaves behind, as text; the account's books are binary and hold ids alone."""
    files = [file for file in (folder / "state" / "leadstream" / "backfill").iterdir() if file.suffix == ".json"]
    return "".join(file.read_text() for file in files)


def test_a_backfill_that_is_killed_three_times_has_every_lead_once_for_a_page_per_kill(
    system: System, leadstream: Commands, tmp_path: Path
) -> None:
    page = system.graph.pages()[0]
    form_id = page.form_ids[0]
    system.graph.make_leads(form_id, LEADS_OF_THE_FORM, over=80 * DAY)
    at_meta = set(system.graph.lead_ids(form_id))
    needed = -(-len(at_meta) // MOST_AT_ONCE)
    system.graph.forget_calls()
    system.graph.set_latency(0.3, endpoint="leads")
    command = ("backfill", "--form", form_id, "--yes")

    left = ""
    for calls in (1, 3, 6):
        with (tmp_path / "killed.log").open("ab") as log:
            run = subprocess.Popen(
                [str(LEADSTREAM), *command], env=os.environ | system.env, cwd=tmp_path, stdout=log, stderr=log
            )
            eventually(lambda: system.graph.calls(endpoint="leads").total >= calls, 60, "calls")  # noqa: B023  of this turn
            time.sleep(0.1 * calls)  # here and there between a call, what is written of it, and the next one
            run.send_signal(signal.SIGKILL)
            run.wait()
        left += kept(tmp_path)
    assert '"after":"' in left, "there was something to go on with"

    told = leadstream.asked(*command)
    [row] = told["read"]
    assert told["whole"]
    assert (row["read"], row["done"], row["at_meta"]) == (len(at_meta), True, len(at_meta))
    assert row["written"] + row["already_here"] == len(at_meta)
    assert written(system) == Counter(at_meta)
    assert needed <= system.graph.calls(endpoint="leads").total <= needed + 3
    assert kept(tmp_path) == "", "what is done leaves nothing behind"

    system.graph.set_latency(0.0, endpoint="leads")
    [again] = leadstream.asked(*command)["read"]
    assert (again["written"], again["already_here"]) == (0, len(at_meta))
    assert written(system) == Counter(at_meta)

    said = left + leadstream.said + (tmp_path / "killed.log").read_text()
    secrets = [page.token for page in system.graph.pages()] + answers_of(system, min(at_meta))
    assert not [secret for secret in secrets if secret in said]


def test_a_page_that_is_lost_costs_no_other_and_the_same_command_goes_on_when_it_is_repaired(
    system: System, leadstream: Commands
) -> None:
    system.start("work", "map")
    lost, *others = system.graph.pages()
    forms = {
        page.page_id: {each: set(system.graph.lead_ids(each)) for each in page.form_ids}
        for page in system.graph.pages()
    }
    reachable = {lead for page in others for leads in forms[page.page_id].values() for lead in leads}
    every = {lead for leads in forms.values() for of_form in leads.values() for lead in of_form}

    shown = leadstream("backfill", "--all-pages")
    assert (shown.returncode, system.records(DETAILS)) == (0, [])
    assert all(form_id in shown.stdout for leads in forms.values() for form_id in leads)

    fault = system.graph.fault("error", code=10, endpoint="leads", page=lost.page_id)
    done = leadstream("backfill", "--all-pages", "--yes")
    assert done.returncode == 1
    assert set(written(system)) == reachable
    [sentence] = [line for line in done.stdout.splitlines() if line.startswith(f"page {lost.page_id}: permission: ")]
    assert "Leads Access Manager" in sentence
    assert system.graph.calls(page=lost.page_id, endpoint="leads").total == 2, "one more try, with fewer fields"

    system.graph.lift(fault)
    assert leadstream.asked("backfill", "--all-pages", "--yes")["whole"]
    assert written(system) == Counter(every)
    decode: Decoder[LeadDetails] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]), "LeadDetails", subject=system.topics.subject(DETAILS)
    )
    for record in system.records(DETAILS):
        details = decode(record.value or b"")
        assert json.loads(details["answer"]) == system.graph.lead(details["lead_id"])
        assert (details["source"], details["completeness"], details["form_version"] is None) == (
            "backfill",
            "FULL",
            False,
        )
    eventually(lambda: system.keys(LEADS) == every, 60, "every lead on leads.v1")


def test_an_ad_is_read_between_two_times_by_whoever_may(system: System, leadstream: Commands) -> None:
    page = system.graph.pages()[2]
    form = next(form for form in system.graph.forms(page.page_id) if form.ad_ids)
    system.graph.make_leads(form.form_id, 200, over=10 * DAY)
    since, until = (datetime.fromtimestamp(int(time.time() - days * DAY), tz=UTC) for days in (8, 2))
    nodes = [system.graph.lead(lead) for lead in system.graph.lead_ids(form.form_id)]
    ad_id = form.ad_ids[0]
    system.graph.set_limits(leads=20)

    def is_wanted(lead: dict[str, Any]) -> bool:
        given = datetime.fromisoformat(lead["created_time"])
        return lead.get("ad_id") == ad_id and since <= given < until

    times = ("--since", since.isoformat(), "--until", until.isoformat())
    [row] = leadstream.asked("backfill", "--ad", ad_id, *times, "--yes")["read"]
    wanted = {str(lead["id"]) for lead in nodes if is_wanted(lead)}
    assert len(wanted) > 20
    assert (set(written(system)), row["written"], row["page"]) == (wanted, len(wanted), page.page_id)
    assert leadstream("backfill", "--ad", ad_id, "--form", "x").returncode == 2
