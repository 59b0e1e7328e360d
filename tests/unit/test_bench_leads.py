"""The leads that the mapping suite replays, and that its peers do the same work."""

import orjson

from ingest.codec import Codec
from ingest.meta.webhook import read
from processors.lead import map_lead
from processors.mapping.reading import read_folder
from processors.mapping.target import Target
from schemas.shapes import Lead, LeadDetails
from tests.bench import limits
from tests.bench.details import details, lead_of
from tests.bench.mapping import MAPPINGS
from tests.bench.peers.python import by_hand, door

MANY = 200


def test_every_lead_is_its_own_and_nothing_in_it_is_a_problem() -> None:
    leads = [map_lead(made.details) for made in details(MANY)]

    assert [lead["lead_id"] for lead in leads] == [lead_of(number) for number in range(MANY)]
    assert len({lead["lead_id"] for lead in leads}) == MANY
    assert len({lead["phone"] for lead in leads}) == MANY
    assert all(lead["email"] and lead["phone"] and lead["country"] for lead in leads)
    assert [lead["problems"] for lead in leads] == [[]] * MANY
    assert {len(lead["answers"]) for lead in leads} == {8, 9}  # one form in four verifies the number besides
    assert not any(lead["is_test"] for lead in leads)


def test_many_leads_share_a_form() -> None:
    assert len({made.details["form_version"] for made in details(MANY)}) == 40


def test_the_bench_s_mapping_file_takes_every_lead_and_fails_for_none() -> None:
    [loaded] = read_folder(MAPPINGS)
    target = Target(loaded.mapping)
    leads = [map_lead(made.details) for made in details(MANY)]

    assert all(target.wants(lead) for lead in leads)
    assert [target.map(lead).failures for lead in leads] == [()] * MANY
    assert all(None not in target.map(lead).record.values() for lead in leads)


def test_the_limits_of_the_map_go_through_every_record() -> None:
    codec: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)
    [loaded] = read_folder(MAPPINGS)
    target = Target(loaded.mapping)
    frames = [codec.encode(made.details) for made in details(20)]
    leads = [map_lead(made.details) for made in details(20)]
    records = [target.map(lead).record for lead in leads]

    assert limits.map_alone(frames, loaded.mapping).done == 20
    assert limits.avro_alone(frames, leads, records, loaded.mapping).done == 20


def test_the_door_by_hand_makes_the_records_that_ours_makes() -> None:
    changes = [
        {"field": "leadgen", "value": {"leadgen_id": f"5545971704564{n}", "page_id": "153125381133", "form_id": "1"}}
        for n in range(3)
    ]
    document = {"object": "page", "entry": [{"id": "153125381133", "time": 1_795_500_000, "changes": changes}]}
    ours = read(orjson.dumps(document), delivery="d", received_at=1).records
    by_hand = door.read(document)

    assert [(made.key, made.value) for made in by_hand] == [(record.key, record.value) for record in ours]
    assert [[name for name, _ in made.headers] for made in by_hand] == [
        [name for name, _ in record.headers] for record in ours
    ]


def test_the_map_by_hand_makes_the_lead_and_the_record_that_ours_makes() -> None:
    [loaded] = read_folder(MAPPINGS)
    target = Target(loaded.mapping)
    empty = dict.fromkeys(Lead.__annotations__)
    for made in details(MANY):
        lead = map_lead(made.details)

        assert empty | by_hand.lead(made.details) == lead
        assert by_hand.record(lead) == target.map(lead).record
