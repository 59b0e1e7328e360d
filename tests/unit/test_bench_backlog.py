"""A long topic of the bench is made from few leads: each record is of a lead of its own, and can be read."""

from ingest.codec import Codec
from schemas.shapes import LeadDetails
from tests.bench.backlog import Backlog


def test_every_record_is_of_a_lead_of_its_own_and_says_so_throughout() -> None:
    codec: Codec[LeadDetails] = Codec("LeadDetails", schema_id=5)
    records = list(Backlog(encoded=40).records(95, 100, schema_id=5))
    assert len({record.key for record in records}) == 100
    for record in records:
        assert record.value is not None
        assert record.key is not None
        made, lead_id = codec.decode(record.value), record.key.decode()
        assert made["lead_id"] == lead_id
        assert f'"id":"{lead_id}"' in made["answer"]
        assert made["change"] is not None
        assert f'"leadgen_id":"{lead_id}"' in made["change"]


def test_the_next_stretch_begins_where_the_one_before_ended() -> None:
    backlog = Backlog(encoded=10)
    apart = [*backlog.records(0, 15, schema_id=1), *backlog.records(15, 15, schema_id=1)]
    assert apart == list(backlog.records(0, 30, schema_id=1))
