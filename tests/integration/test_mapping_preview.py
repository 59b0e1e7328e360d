"""`leadstream mapping preview` on real leads: before anything is live, and against what `work map` has written."""

import asyncio
import json
from pathlib import Path

import pytest

from ingest.kafka import ConfluentProducer
from ingest.records import DETAILS, Record
from tests.commands import Commands, answers_of
from tests.programs import System, eventually

SALES = """
target: sales
owner: sales-it
doc: Leads for the CRM.
fields:
  name: {doc: The name., from: [{standard: full_name}], transform: [trim]}
  email: {doc: The address., from: [{standard: email}], transform: [email, lower]}
  budget: {doc: What they would spend., type: int, from: [{field: budget}], transform: [number]}
"""
CHANGED = SALES.replace("transform: [email, lower]", "transform: [email, upper]").replace(
    "type: int", "type: int, required: true"
)


@pytest.fixture
def mappings(tmp_path: Path) -> Path:
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "sales.yaml").write_text(SALES)
    return folder


@pytest.fixture
def leadstream(system: System, mappings: Path, tmp_path: Path) -> Commands:
    system.env["MAPPING_DIR"] = str(mappings)
    return Commands(system, tmp_path)


def erase(system: System, lead: str) -> None:
    async def deliver() -> None:
        producer = ConfluentProducer(system.kafka, system.topics, timeout=15.0)
        await producer.deliver([Record(topic=DETAILS, key=lead.encode(), value=None)])
        await producer.close(15.0)

    asyncio.run(deliver())


def test_a_file_is_tried_on_leads_before_and_after_it_is_live(
    system: System, leadstream: Commands, mappings: Path, tmp_path: Path
) -> None:
    serve, fetch = system.start("serve").wait_ready(), system.start("work", "fetch").wait_ready()
    forms = {form.template: form.form_id for page in system.graph.pages() for form in system.graph.forms(page.page_id)}
    for template in ("test_drive", "newsletter"):
        job = system.graph.deliver(system.webhook, 6, forms=[forms[template]]).job
        system.graph.wait(job)
    leads = system.graph.acknowledged()
    eventually(lambda: set(leads) <= system.keys(DETAILS), 60, "every lead on details")
    draft = tmp_path / "draft.yaml"
    draft.write_text(SALES)

    # Neither topic nor schema is there yet.
    first = leadstream.asked("mapping", "preview", str(draft))
    assert {each["lead_id"] for each in first["leads"]} == set(leads)
    assert all(each["live"] is None for each in first["leads"])
    assert first["summary"]["failed"] == 0

    assert leadstream("topics", "apply", "--yes").returncode == 0
    system.start("work", "map").wait_ready()
    eventually(lambda: set(leads) <= system.keys("leads.crm.sales.v1"), 60, "every lead on its CRM topic")
    same = leadstream.asked("mapping", "preview", str(draft))
    assert {each["live"]["mapping"] for each in same["leads"]} == {same["mapping"]}
    assert same["summary"]["changed"] == {}
    assert same["leads"][0]["live"]["record"] is not None

    draft.write_text(CHANGED)
    written = {topic: len(system.records(topic)) for topic in (DETAILS, "leads.crm.sales.v1")}
    done = leadstream("mapping", "preview", str(draft), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 1, "the newsletter asks for no budget"
    assert told["summary"]["failures"] == [{"field": "budget", "reason": "required", "leads": 6}]
    assert told["summary"]["changed"] == {"email": 6}
    assert all(each["live"]["mapping"] == same["mapping"] != told["mapping"] for each in told["leads"])
    failing = json.loads(leadstream("mapping", "preview", str(draft), "--json", "--failed").stdout)
    assert {each["form_id"] for each in failing["leads"]} == {forms["newsletter"]}
    assert failing["summary"] == told["summary"]

    person = answers_of(system, leads[0])[0]
    shown = leadstream("mapping", "preview", str(draft), "--lead", leads[0])
    assert leads[0] in shown.stdout
    assert "live by another version" in shown.stdout
    assert "1 leads looked at" in shown.stdout
    assert person in shown.stdout
    assert person not in shown.stderr
    assert {topic: len(system.records(topic)) for topic in written} == written

    erase(system, leads[0])
    gone = leadstream("mapping", "preview", str(draft), "--lead", leads[0])
    assert gone.returncode == 1
    assert f"no lead {leads[0]}" in gone.stderr
    for program in (serve, fetch):
        program.stop()


def test_a_broken_file_is_told_by_line_and_a_missing_one_is_used_wrongly(
    leadstream: Commands, mappings: Path, tmp_path: Path
) -> None:
    (mappings / "sales.yaml").write_text(SALES.replace("[email, lower]", "[e-mail]"))
    done = leadstream("mapping", "preview", str(mappings / "sales.yaml"))
    assert (done.returncode, "sales.yaml:7: fields.email.transform[0]" in done.stderr) == (1, True)
    assert leadstream("mapping", "preview", str(tmp_path / "none.yaml")).returncode == 2
