"""Updates of leads, from a signed POST to typed records, while their worker is killed; a broken one has a way back."""

import json
from pathlib import Path

import pytest

from deploy.account import Account, take_account
from deploy.reading import Decoder
from ingest.records import DEAD, DETAILS, LEAD_UPDATES, LEADS, RAW, UPDATES, Record
from ingest.settings import RegistrySettings
from schemas.shapes import LeadUpdate
from tests.commands import Commands
from tests.programs import System, eventually

SENT = 12


@pytest.fixture
def leadstream(system: System, tmp_path: Path) -> Commands:
    return Commands(system, tmp_path)


def test_every_update_is_typed_though_its_worker_is_killed_and_a_broken_one_comes_back(
    system: System, leadstream: Commands, tmp_path: Path
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
    decode = decoder(system)
    for typed in system.records(LEAD_UPDATES):
        of, update = sent[typed.origin], decode(typed.value or b"")
        assert json.loads(of.value or b"")["value"] == json.loads(update["value"])
        assert (typed.key, typed.timestamp, update["lead_id"]) == (of.key, of.timestamp, (of.key or b"").decode())
        assert update["event"] == "qualification_status_change"
        assert update["updated_at"] is not None

    put_by_hand = Record(topic=UPDATES, key=b"4711", value=b'{"field":"leadgen_update","value":{"leadgen_id":"x"}}')
    system.put(put_by_hand)
    eventually(lambda: system.records(DEAD), 60, "the broken one is dead")
    assert leadstream("dead", "redrive", "--stage", "update", "--yes").returncode == 0
    eventually(lambda: len(system.records(DEAD)) == 2, 60, "it died again, as nothing was mended")
    assert {(it.key, it.value) for it in system.records(DEAD)} == {(put_by_hand.key, put_by_hand.value)}
    assert len({letter.origin for letter in system.records(DEAD)}) == 1
    letters = leadstream.asked("dead", "list", "--stage", "update")["letters"]
    assert [(letter["lead"], letter["state"]) for letter in letters] == [("4711", "superseded"), ("4711", "open")]

    assert [system.records(topic) for topic in (RAW, DETAILS, LEADS)] == [[], [], []]
    account = eventually_read(system, tmp_path / "books")
    assert (account.holds, account.dead) == (True, {("update", "", "lead-id-not-an-id"): 1})
    assert 'leadstream_records_total{outcome="dead",worker="updates"} 2.0' in worker.metrics()
    assert leadstream("replay", "updates", "--to", "earliest", "--yes").returncode == 1  # its worker runs
    worker.stop()
    assert leadstream("replay", "updates", "--to", "earliest", "--yes").returncode == 0
    assert take_account(system.kafka, tmp_path / "books").lags["updates"].records == SENT + 2


def eventually_read(system: System, books: Path) -> Account:
    """The account once the worker has committed all that there is."""
    eventually(lambda: take_account(system.kafka, books).lags["updates"].records == 0, 60, "every offset committed")
    return take_account(system.kafka, books)


def origins(system: System) -> set[str]:
    return {record.origin for record in system.records(LEAD_UPDATES)}


def places(system: System) -> set[str]:
    return {record.origin for record in system.records(UPDATES)}


def decoder(system: System) -> Decoder[LeadUpdate]:
    registry = RegistrySettings(registry_url=system.env["REGISTRY_URL"])
    return Decoder(registry, "LeadUpdate", subject=system.topics.subject(LEAD_UPDATES))
