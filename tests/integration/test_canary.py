"""A test lead flies from Meta to leads.v1 and to no CRM; when it does not come through, the stage is named."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.reading import Decoder
from deploy.sandbox.graph.shapes import FormInfo
from ingest.records import LEADS, header
from ingest.settings import RegistrySettings
from schemas.shapes import Lead
from tests.commands import Commands
from tests.programs import System, eventually

CRM = "leads.crm.sales.v1"
SALES = """
target: sales
owner: the tests
doc: Every lead there is.
fields:
  name: {doc: Who it is., from: [{standard: full_name}]}
"""
DUMMY = [{"name": "email", "values": ["test@meta.com"]}]


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    return Commands(system, tmp_path)


@pytest.fixture
def form(system: System) -> FormInfo:
    """A form whose page and app announce their leads to our door."""
    form = system.graph.forms()[0]
    system.graph.subscribe_app(system.webhook)
    system.graph.subscribe_page(form.page_id)
    return form


# Any: JSON.
def fly(leadstream: Commands, form: FormInfo, *options: str) -> tuple[int, dict[str, Any]]:
    done = leadstream("canary", "--form", form.form_id, "--page", form.page_id, *options, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def at_meta(system: System, form: FormInfo, lead_id: str) -> bool:
    return lead_id in system.graph.lead_ids(form.form_id)


def typed(system: System) -> Sequence[Lead]:
    settings = RegistrySettings(registry_url=system.env["REGISTRY_URL"])
    decode: Decoder[Lead] = Decoder(settings, "Lead", subject=system.topics.subject(LEADS))
    return [decode(record.value) for record in system.records(LEADS) if record.value is not None]


def test_a_test_lead_flies_to_leads_and_to_no_crm_and_is_gone_from_meta(
    system: System, leadstream: Commands, form: FormInfo, tmp_path: Path
) -> None:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "sales.yaml").write_text(SALES)
    system.env |= {"MAPPING_DIR": str(folder)}
    system.apply_topics()
    for program in [system.start("serve"), system.start("work", "fetch"), system.start("work", "map")]:
        program.wait_ready()
    system.graph.wait(system.graph.deliver(system.webhook, 3, forms=[form.form_id], duplicates=0.0).job)
    eventually(lambda: len(system.keys(CRM)) == 3, 60, "real leads on the topic of the CRM")
    left_over = system.graph.make_lead(form.form_id, {"field_data": DUMMY}, age=600.0, is_test=True)

    system.graph.forget_calls()
    code, flight = fly(leadstream, form)
    lead_id = flight["lead_id"]
    assert (code, flight["outcome"], flight["deleted"]) == (0, "in-time", True)
    assert not at_meta(system, form, lead_id)
    assert not at_meta(system, form, left_over), "what a killed run has left was deleted first"
    seconds = flight["seconds"]
    assert None not in seconds.values()
    assert sum(seconds[stage] for stage in ("door", "raw", "fetch", "map")) == pytest.approx(seconds["whole"], abs=0.01)
    # Ours: what is there, away with it, a new one, away with that one too; and fetch's own.
    assert system.graph.calls().by_endpoint == {"test_leads": 2, "lead": 3}

    [lead] = [lead for lead in typed(system) if lead["lead_id"] == lead_id]
    [record] = [record for record in system.records(LEADS) if record.key == lead_id.encode()]
    assert (lead["is_test"], header(record.headers, "targets")) == (True, "")
    assert lead_id not in system.keys(CRM)
    assert len(system.records(CRM)) == 3

    # Its page is known by now.
    scheduled = system.start("canary", "--form", form.form_id, "--every", "1s", "--objective", "20s").wait_ready()
    flown = f'leadstream_canary_runs_total{{form_id="{form.form_id}",outcome="in-time"}} 2.0'
    eventually(lambda: flown in scheduled.metrics(), 60, "two more flights")
    metrics = scheduled.metrics()
    assert f'leadstream_canary_objective_seconds{{form_id="{form.form_id}"}} 20.0' in metrics
    assert 'leadstream_canary_seconds_count{stage="whole"} ' in metrics
    assert scheduled.stop() == 0
    assert "Traceback" not in scheduled.log.read_text() + leadstream.said
    assert len(system.keys(CRM)) == 3


def test_a_test_lead_that_does_not_come_through_is_deleted_and_the_stage_is_named(
    system: System, leadstream: Commands, form: FormInfo
) -> None:
    before = set(system.graph.lead_ids(form.form_id))

    def left_over() -> set[str]:
        return set(system.graph.lead_ids(form.form_id)) - before

    system.start("serve").wait_ready()
    code, flight = fly(leadstream, form, "--timeout", "5s", "--objective", "1s")
    assert (code, flight["outcome"], flight["stuck"], flight["deleted"]) == (1, "lost", "fetch", True)
    assert "leadstream work fetch" in flight["said"]
    assert flight["seconds"]["fetch"] is None
    assert flight["seconds"]["raw"] is not None

    system.graph.subscribe_page(form.page_id, [])
    arguments = ("canary", "--form", form.form_id, "--page", form.page_id, "--timeout", "60s")
    told_to_stop = system.start(*arguments)
    eventually(left_over, 60, "a test lead")
    told_to_stop.signal(signal.SIGINT)
    assert told_to_stop.ended() == 1
    assert "ended by you" in told_to_stop.log.read_text()
    assert left_over() == set()

    killed = system.start(*arguments)
    eventually(left_over, 60, "a test lead")
    killed.kill()
    code, flight = fly(leadstream, form)
    assert (code, flight["outcome"], flight["reason"]) == (1, "occupied", "young")
    assert left_over() == {flight["lead_id"]}
    code, flight = fly(leadstream, form, "--timeout", "1s", "--objective", "1s")
    assert (code, flight["outcome"], flight["stuck"]) == (1, "lost", "door")
    assert "leadstream doctor" in flight["said"]
    assert left_over() == set(), "neither what was killed nor what was lost stays at Meta"
