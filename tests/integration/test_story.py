"""From a signed POST to a decoded lead, through every process, and what the outside world can do meanwhile."""

import json
import time
from collections import Counter
from typing import get_args

from deploy.reading import Decoder
from deploy.sandbox import Sandbox
from deploy.sandbox.graph.shapes import CraftedKind
from ingest.records import DEAD, FATES, FORMS, LEADS, OTHER, RAW, UPDATES, header
from ingest.settings import RegistrySettings
from schemas.shapes import Lead
from tests.programs import Program, System, eventually


def start_all(system: System) -> list[Program]:
    commands = (("serve",), ("work", "fetch"), ("work", "map"), ("work", "retry"))
    programs = [system.start(*command, ACCESS_CHECK="1") for command in commands]
    return [program.wait_ready() for program in programs]


def decoded(system: System) -> dict[str, Lead]:
    decode: Decoder[Lead] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]), "Lead", subject=system.topics.subject(LEADS)
    )
    return {
        record.key.decode(): decode(record.value)
        for record in system.records(LEADS)
        if record.key is not None and record.value is not None
    }


def fates(system: System) -> Counter[tuple[str, str]]:
    told = [json.loads(record.value) for record in system.records(FATES) if record.value is not None]
    return Counter((fate["fate"], fate["reason"]) for fate in told)


def planted(system: System, leads: list[str]) -> set[str]:
    """What must never be logged: tokens, secrets, and what people answered."""
    answers = {
        str(value)
        for lead in leads
        for field in system.graph.lead(lead)["field_data"]
        for value in field.get("values") or []
        if len(str(value)) > 7
    }
    secrets = {page.token for page in system.graph.pages()} | {
        system.env["META_APP_SECRETS"],
        system.env["META_VERIFY_TOKEN"],
    }
    return answers | secrets


def test_every_lead_arrives_typed_with_every_answer_and_nothing_of_it_in_a_log(system: System) -> None:
    """Sixty leads over all forms, in batches over several pages, ids in both styles, some announced twice."""
    programs = start_all(system)
    job = system.graph.deliver(
        system.webhook, 60, changes_per_post=7, pages_per_post=3, ids="mixed", duplicates=0.2, shuffle=True
    )
    delivery = system.graph.wait(job.job)
    acknowledged = set(system.graph.acknowledged())
    assert delivery.acknowledged == len(acknowledged) == 60

    eventually(lambda: acknowledged <= system.keys(LEADS), 60, "every acknowledged lead on leads.v1")
    leads = decoded(system)
    assert set(leads) == acknowledged
    for lead_id, lead in leads.items():
        truth = system.graph.lead(lead_id)
        assert [answer["key"] for answer in lead["answers"]] == [field["name"] for field in truth["field_data"]]
        assert [answer["values"] for answer in lead["answers"]] == [
            [str(value) for value in field.get("values") or []] for field in truth["field_data"]
        ]
        assert lead["form_id"] == truth["form_id"]
        assert lead["form_version"] is not None
        assert lead["completeness"] == "FULL"
        assert lead["campaign_name"] == truth.get("campaign_name")
    assert any(lead["email"] for lead in leads.values())
    assert any((lead["phone"] or "").startswith("+") for lead in leads.values())

    forms = {record.key.decode().split("@")[0] for record in system.records(FORMS) if record.key is not None}
    assert forms == {lead["form_id"] for lead in leads.values()}

    assert_accounted_for(system)
    logs = "".join(program.log.read_text() for program in programs) + "".join(program.metrics() for program in programs)
    found = {secret for secret in planted(system, sorted(acknowledged)) if secret in logs}
    assert found == set()
    assert [program.stop() for program in programs] == [0, 0, 0, 0]


def assert_accounted_for(system: System) -> None:
    """Every raw record has exactly one fate, the last one soon: its lead, or a word that says why not."""
    raw = {record.origin for record in system.records(RAW)}

    def mapped() -> set[str]:
        return {origin for record in system.records(LEADS) if (origin := record.header("origin"))}

    def told() -> set[str]:
        return {json.loads(record.value)["origin"] for record in system.records(FATES) if record.value is not None}

    eventually(lambda: mapped() | told() >= raw, 60, "a fate for every raw record")
    assert mapped() | told() == raw
    assert mapped() & told() == set()


def test_each_kind_of_delivery_gets_its_answer_and_its_fate(system: System) -> None:
    start_all(system)
    answers = {kind: system.graph.send(system.webhook, kind).status for kind in get_args(CraftedKind)}
    assert answers == {
        "leadgen": "200",
        "leadgen_update": "200",
        "other_field": "200",
        "changed_fields": "200",
        "dashboard_sample": "200",
        "unsigned": "401",
        "wrong_signature": "401",
        "crm_setup": "422",
        "one_bad_change": "200",
        "deleted_lead": "200",
        "test_lead": "200",
        "not_json": "400",
    }
    eventually(lambda: ("dead", "not-found") in fates(system), 60, "the deleted lead is dead")
    eventually(lambda: ("skipped", "sample") in fates(system), 60, "the sample is skipped")
    assert_accounted_for(system)
    assert len(system.records(UPDATES)) == 1
    assert len(system.records(OTHER)) == 2
    assert [lead["is_test"] for lead in decoded(system).values()].count(True) == 1
    stages = Counter(header(record.headers, "stage") for record in system.records(DEAD))
    assert stages == {"ingest": 1, "fetch": 1}


def test_a_broker_that_stops_costs_no_lead_and_no_restart(system: System, sandbox: Sandbox) -> None:
    """503 while it is away, and everything flows when it is back, by the same processes."""
    programs = start_all(system)
    system.graph.wait(system.graph.deliver(system.webhook, 20, changes_per_post=4).job)
    pids = [program.children() for program in programs]

    sandbox.down(only=["kafka"])
    begin = time.monotonic()
    sent = system.graph.send(system.webhook, "leadgen")
    assert (sent.status, time.monotonic() - begin < 6) == ("503", True)
    eventually(lambda: programs[0].asked("ready")[0] == 503, 60, "not ready without a broker")
    waiting = system.graph.deliver(system.webhook, 200, changes_per_post=10, time_scale=0.05)
    time.sleep(5)  # the length of the outage, waiting for nothing
    assert system.graph.progress(waiting.job).acknowledged == 0

    sandbox.up()
    system.graph.wait(waiting.job)
    acknowledged = set(system.graph.acknowledged())
    assert len(acknowledged) == 220
    eventually(lambda: acknowledged <= system.keys(LEADS), 90, "every acknowledged lead on leads.v1")
    assert [program.children() for program in programs] == pids
