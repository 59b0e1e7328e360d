"""Updates of leads, from a signed POST to typed records, while their worker is killed; a broken one has a way back."""

import json
from collections import Counter
from pathlib import Path

import pytest

from deploy.reading import Decoder
from ingest.records import DEAD, DETAILS, FATES, LEAD_UPDATES, LEADS, RAW, UPDATES, Record
from ingest.settings import RegistrySettings
from schemas.shapes import LeadUpdate
from tests.commands import Commands
from tests.programs import System, eventually

SENT = 12


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    system.env |= {"XDG_STATE_HOME": str(tmp_path / "state")}
    return Commands(system, tmp_path)


def test_every_update_is_typed_though_its_worker_is_killed_and_a_broken_one_comes_back(
    system: System, leadstream: Commands
) -> None:
    system.start("serve").wait_ready()
    worker = system.start("work", "map").wait_ready()
    for number in range(SENT):
        assert system.graph.send(system.webhook, "leadgen_update").status == "200"
        if number == SENT // 2:
            eventually(worker.kill_child, 60, "a child to kill")
    eventually(lambda: origins(system) >= places(system), 60, "every update on leads.updates.v1")

    sent = {record.origin: record for record in system.records(UPDATES)}
    assert len(sent) == SENT
    for typed in system.records(LEAD_UPDATES):
        of = sent[typed.origin]
        update = decoded(system, typed.value)
        assert json.loads(of.value or b"")["value"] == json.loads(update["value"])
        assert (typed.key, typed.timestamp, update["lead_id"]) == (of.key, of.timestamp, (of.key or b"").decode())
        assert update["event"] == "qualification_status_change"
        assert update["updated_at"] is not None

    put_by_hand = Record(topic=UPDATES, key=b"4711", value=b'{"field":"leadgen_update","value":{"leadgen_id":"x"}}')
    system.put(put_by_hand)
    eventually(lambda: dead(leadstream) == {"open": 1}, 60, "the broken one is dead")
    [letter] = system.records(DEAD)
    assert (letter.key, letter.value) == (put_by_hand.key, put_by_hand.value)
    assert leadstream("dead", "redrive", "--stage", "update", "--yes").returncode == 0
    eventually(lambda: dead(leadstream) == {"open": 1, "superseded": 1}, 60, "it died again, as nothing was mended")
    assert len({record.origin for record in system.records(DEAD)}) == 1

    assert [system.records(topic) for topic in (RAW, DETAILS, LEADS)] == [[], [], []]
    assert len(system.records(FATES)) == 3  # dead, redriven, dead
    eventually(lambda: lag(leadstream) == 0, 60, "all of it is committed")
    told = leadstream.asked("status")
    assert (told["accounted_for"], told["dead"]) == (
        True,
        [{"stage": "update", "target": None, "reason": "lead-id-not-an-id", "letters": 1}],
    )
    assert 'leadstream_records_total{outcome="dead",worker="updates"} 2.0' in worker.metrics()

    [line] = leadstream("tail", "--topic", LEAD_UPDATES, "--last", "1", "--json").stdout.splitlines()
    assert json.loads(line)["value"]["area"] == "ai_agent_updates"

    assert leadstream("replay", "updates", "--to", "earliest", "--yes").returncode == 1  # its worker runs
    worker.stop()
    before = len(system.records(LEAD_UPDATES))
    assert leadstream("replay", "updates", "--to", "earliest", "--yes").returncode == 0
    system.start("work", "map").wait_ready()
    eventually(lambda: len(system.records(LEAD_UPDATES)) == before + SENT, 60, "each of them once more")
    assert origins(system) == set(sent)


def origins(system: System) -> set[str]:
    return {record.origin for record in system.records(LEAD_UPDATES)}


def places(system: System) -> set[str]:
    return {record.origin for record in system.records(UPDATES)}


def dead(leadstream: Commands) -> Counter[str]:
    """How many dead letters of updates there are in each state."""
    return Counter(row["state"] for row in leadstream.asked("dead", "list", "--stage", "update")["letters"])


def lag(leadstream: Commands) -> int:
    return int(leadstream.asked("status")["lag"]["updates"]["records"])


def decoded(system: System, frame: bytes | None) -> LeadUpdate:
    assert frame is not None
    decode: Decoder[LeadUpdate] = Decoder(
        RegistrySettings(registry_url=system.env["REGISTRY_URL"]),
        "LeadUpdate",
        subject=system.topics.subject(LEAD_UPDATES),
    )
    return decode(frame)
