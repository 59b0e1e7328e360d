"""From a mapping file to the topic a CRM reads: `topics apply` makes it, `work map` fills it, and a file may change."""

import asyncio
import json
import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from deploy.reading import Decoder
from ingest.kafka import ConfluentProducer
from ingest.records import DEAD, DETAILS, FATES, LEADS, Record, header
from ingest.settings import RegistrySettings
from schemas.shapes import Lead
from tests.programs import LEADSTREAM, Program, System, eventually

EVERYONE, HARBOR = "leads.crm.everyone.v1", "leads.crm.harbor.v1"
FIELDS = """
  name:
    doc: Who it is.
    from: [{standard: full_name}]
    transform: [trim]
  email:
    doc: How to write to them.
    from: [{standard: email}, {standard: work_email}]
    transform: [trim, email]
    if_invalid: default
  campaign:
    doc: What brought them.
    from: [{lead: campaign_name}]
"""


@pytest.fixture
def mappings(system: System, tmp_path: Path) -> Path:
    folder = tmp_path / "mappings"
    folder.mkdir()
    system.env |= {"MAPPING_DIR": str(folder), "MAPPING_CHECK": "0.2"}
    return folder


def write(folder: Path, target: str, fields: str = FIELDS, more: str = "") -> None:
    """As a deployment does it: the file is whole when it is there."""
    draft = folder / f"{target}.new"
    draft.write_text(f"target: {target}\nowner: the tests\ndoc: Leads for {target}.\n{more}\nfields:{fields}")
    draft.replace(folder / f"{target}.yaml")


def start(system: System) -> Program:
    """All it takes; the one that maps."""
    for command in ("serve",), ("work", "fetch"):
        system.start(*command).wait_ready()
    return system.start("work", "map").wait_ready()


def read(system: System, topic: str) -> dict[str, dict[str, object] | None]:
    """The newest of each lead, decoded; None where it was erased."""
    settings = RegistrySettings(registry_url=system.env["REGISTRY_URL"])
    decode: Decoder[dict[str, object]] = Decoder(settings, None, subject=system.topics.subject(topic))
    return {
        record.key.decode(): None if record.value is None else decode(record.value)
        for record in system.records(topic)
        if record.key is not None
    }


def leads(system: System) -> dict[str, Lead]:
    return {lead_id: lead for lead_id, lead in read(system, LEADS).items() if lead is not None}  # type: ignore[misc]  # the schema of this topic says that it is one


def hashes(system: System, topic: str) -> Counter[str | None]:
    return Counter(header(record.headers, "mapping") for record in system.records(topic))


def test_each_target_gets_the_leads_its_filter_takes_with_every_answer_and_loses_them_when_they_are_erased(
    system: System, mappings: Path
) -> None:
    harbor = system.graph.pages()[0].page_id
    write(mappings, "everyone")
    write(mappings, "harbor", more=f"filter: {{pages: ['{harbor}']}}")
    system.apply_topics()
    worker = start(system)
    system.graph.wait(system.graph.deliver(system.webhook, 60, changes_per_post=7, pages_per_post=3).job)
    acknowledged = set(system.graph.acknowledged())
    eventually(lambda: acknowledged <= system.keys(EVERYONE), 60, "every acknowledged lead on the topic of everyone")

    typed = leads(system)
    everyone, of_harbor = read(system, EVERYONE), read(system, HARBOR)
    assert set(everyone) == set(typed) == acknowledged
    assert set(of_harbor) == {lead_id for lead_id, lead in typed.items() if lead["page_id"] == harbor} < acknowledged
    for lead_id, record in everyone.items():
        lead = typed[lead_id]
        assert record is not None
        assert record["lead_id"] == lead_id
        assert record["campaign"] == lead["campaign_name"]
        assert record["email"] == (lead["email"] or lead["work_email"])
        left = json.loads(str(record["unmapped"]))["answers"]
        given = {answer["key"]: answer["values"] for answer in lead["answers"] if any(answer["values"])}
        taken = {answer["key"] for answer in lead["answers"] if answer["type"] in ("FULL_NAME", "EMAIL", "WORK_EMAIL")}
        assert given.keys() - taken <= left.keys() <= given.keys()
    meant = {record.key: header(record.headers, "targets") for record in system.records(LEADS)}
    assert Counter(meant.values()) == {
        "everyone.v1,harbor.v1": len(of_harbor),
        "everyone.v1": len(acknowledged) - len(of_harbor),
    }

    erased = next(iter(of_harbor))
    erase(system, erased)
    topics = (LEADS, EVERYONE, HARBOR)
    eventually(lambda: all(read(system, topic)[erased] is None for topic in topics), 60, "its tombstone everywhere")
    assert 'leadstream_crm_records_total{outcome="mapped",target="harbor.v1"}' in worker.metrics()


def erase(system: System, lead_id: str) -> None:
    async def send() -> None:
        producer = ConfluentProducer(system.kafka, system.topics, timeout=10, client="test")
        await producer.deliver([Record(topic=DETAILS, key=lead_id.encode(), value=None)])
        await producer.close(10)

    asyncio.run(send())


def test_a_file_that_changes_is_taken_up_with_no_lead_lost_or_doubled(system: System, mappings: Path) -> None:
    write(mappings, "everyone")
    system.apply_topics()
    worker = start(system)

    def leads_come_by(files: int) -> bool:
        """However slow the machine, leads still come when a file is taken up."""
        system.graph.wait(system.graph.deliver(system.webhook, 20, rate=80).job)
        return len(hashes(system, EVERYONE)) == files

    eventually(lambda: leads_come_by(1), 60, "the first leads")
    write(mappings, "everyone", FIELDS.replace("[trim, email]", "[email, lower]"))
    eventually(lambda: leads_come_by(2), 60, "leads by the changed file")
    grown = FIELDS + "  page:\n    doc: Its page.\n    from: [{lead: page_id}]\n"
    write(mappings, "everyone", grown)
    eventually(lambda: "mapping.refused" in worker.log.read_text(), 60, "that its schema is not registered")
    assert "topics apply" in worker.log.read_text()
    write(mappings, "everyone", grown + "  broken:\n    doc: x\n    type: strong\n")
    eventually(lambda: "everyone.yaml:23: fields.broken" in worker.log.read_text(), 60, "what is wrong with the file")
    assert "leadstream_mappings_broken 1.0" in worker.metrics()
    write(mappings, "everyone", grown)
    system.apply_topics()
    eventually(lambda: leads_come_by(3), 60, "leads by the grown file")
    acknowledged = set(system.graph.acknowledged())
    eventually(lambda: acknowledged <= system.keys(EVERYONE), 60, "every acknowledged lead")

    of_all = len(acknowledged)
    assert len(system.records(EVERYONE)) == of_all
    assert [header(record.headers, "mapping") for record in system.records(LEADS)] == [None] * of_all
    taken = [record for record in read(system, EVERYONE).values() if record is not None]
    assert ["page" in record for record in taken] == [True] * of_all  # older records have it as null
    assert 0 < sum(record["page"] is not None for record in taken) < of_all
    assert system.records(DEAD) == []


def test_a_lead_that_one_file_fails_for_is_dead_for_that_target_and_the_others_have_it(
    system: System, mappings: Path
) -> None:
    write(mappings, "everyone")
    strict = "\n  budget:\n    doc: What they spend.\n    from: [{field: budget}]\n    required: true\n"
    write(mappings, "harbor", strict)
    system.apply_topics()
    start(system)
    system.graph.wait(system.graph.deliver(system.webhook, 40).job)
    acknowledged = set(system.graph.acknowledged())
    dead = "leads.crm.harbor.v1 or its dead letter"
    eventually(
        lambda: acknowledged <= system.keys(EVERYONE) and system.keys(HARBOR) | system.keys(DEAD) == acknowledged,
        60,
        dead,
    )
    assert system.keys(HARBOR) & system.keys(DEAD) == set()
    assert system.keys(DEAD)
    said = Counter(
        tuple(header(record.headers, name) for name in ("stage", "target", "field", "fate-reason"))
        for record in system.records(DEAD)
    )
    assert said == {("map", "harbor.v1", "budget", "required"): len(system.keys(DEAD))}
    fates = {record.key.decode().split("/", 2)[2] for record in system.records(FATES) if record.key}
    assert fates == {"harbor.v1"}


def test_a_broken_folder_keeps_the_worker_from_starting_and_says_where(system: System, mappings: Path) -> None:
    write(mappings, "everyone", "\n  name: {doc: x, type: strong}\n")
    ended = subprocess.run(
        [LEADSTREAM, "work", "map"],
        env=os.environ | system.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 2
    assert "everyone.yaml:6: fields.name.type" in ended.stderr
