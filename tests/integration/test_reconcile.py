"""`leadstream reconcile` against the Graph double: what Meta has is here afterwards, counted by lead id on leads.v1."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ingest.records import LEADS, PARKED, RAW
from tests.commands import Commands, answers_of
from tests.programs import System, eventually

WORKERS = (("serve",), ("work", "fetch"), ("work", "map"), ("work", "retry"))
QUICK = {"RETRY_DELAYS": "1,2,4", "ACCESS_CHECK": "0.5"}


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    system.env["XDG_STATE_HOME"] = str(tmp_path / "state")
    return Commands(system, tmp_path)


def at_meta(system: System) -> set[str]:
    return {lead for form in system.graph.forms() for lead in system.graph.lead_ids(form.form_id)}


# `Any`: JSON.
def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_after_it_every_lead_is_here_though_webhooks_never_came_and_a_page_could_not_be_read(
    system: System, leadstream: Commands
) -> None:
    for program in [system.start(*command, **QUICK) for command in WORKERS]:
        program.wait_ready()
    lost, *others = [page.page_id for page in system.graph.pages()]
    system.graph.revoke_access(lost, how="10")
    delivery = system.graph.deliver(system.webhook, 200, dropped=0.3, changes_per_post=5, duplicates=0.0)
    system.graph.wait(delivery.job)
    announced = set(system.graph.acknowledged())
    everything = at_meta(system)
    assert len(everything) - len(announced) > 50
    eventually(lambda: len(system.keys(LEADS)) + len(system.records(PARKED)) == len(announced), 60, "what came is here")

    first = leadstream("reconcile", "--yes", "--wait", "60s", "--json")
    found = told(first)
    assert first.returncode == 1, "a page cannot be read"
    assert {form["completeness"] for form in found["forms"]} == {100.0}
    assert found["total"]["recovered"] == found["total"]["sent"] > 0
    assert found["unread"] == [{"page_id": lost, "form_id": None, "reason": "permission"}]
    assert {form["page_id"] for form in found["forms"]} == set(others)

    system.graph.restore_access(lost)
    eventually(lambda: announced <= system.keys(LEADS), 60, "what was parked came by itself")
    second = leadstream("reconcile", "--all-pages", "--yes", "--wait", "60s")
    assert second.returncode == 0, second.stdout + second.stderr
    assert f"Complete: every lead that Meta has is here, {len(everything)} of" in second.stdout
    assert system.keys(LEADS) == everything

    sent = len(system.records(RAW))
    third = told(leadstream("reconcile", "--yes", "--json"))
    assert (third["complete"], third["total"]["sent"], third["total"]["at_meta"]) == (True, 0, len(everything))
    assert len(system.records(RAW)) == sent == len(announced) + len(everything - announced)
    assert leadstream("status").returncode == 0

    watched = system.start("reconcile", "--every", "1h", "--yes").wait_ready()
    over = 'leadstream_reconcile_leads{form_id="%s",standing="%s"} %.1f'
    wanted = [over % (form["form_id"], "had", form["at_meta"]) for form in third["forms"]]
    eventually(lambda: all(line in watched.metrics() for line in wanted), 60, "each form's leads as a metric")
    assert "reconcile.missing" not in watched.log.read_text()
    assert watched.stop() == 0
    for lead in sorted(everything - announced)[:20]:
        assert not [answer for answer in answers_of(system, lead) if answer in leadstream.said]
    assert not [page.token for page in system.graph.pages() if page.token in leadstream.said]
