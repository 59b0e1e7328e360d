"""The map as quixstreams does it: details in, `leads.v1` and one CRM topic out.

`functions` calls leadstream's own pure functions and codecs; `by-hand` is what a user has instead: by_hand.py, and
quixstreams' own Avro with the registry. One chain without a branch: behind a branch quixstreams pickles the value for
the second way, which nothing here needs. At least once: an offset is committed when all that was produced before it is
flushed.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.models import Deserializer, SchemaRegistryClientConfig, Serializer
from quixstreams.models.serializers.avro import AvroDeserializer, AvroSerializer

from ingest.codec import Codec
from processors.lead import map_lead
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_folder
from processors.mapping.target import Target
from schemas import avro
from tests.bench.peers.python import by_hand

CARRIED = ("origin", "source", "delivery", "received-at")
Told = Iterable[tuple[str, bytes]]
Made = Mapping[str, Any]  # a record of Avro


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How records are read, mapped and written."""

    details: Deserializer
    lead: Callable[[Any], Made]
    leads: Serializer
    wants: Callable[[Any], bool]
    record: Callable[[Any], Made]
    crm: Serializer


class Framed(Deserializer):  # type: ignore[misc]  # of an environment of its own
    """Reads what a codec of ours wrote."""

    def __init__(self, codec: Codec[Any]) -> None:
        super().__init__()
        self._codec = codec

    def __call__(self, value: bytes, ctx: object) -> Any:
        return self._codec.decode(value)


class Framing(Serializer):  # type: ignore[misc]  # of an environment of its own
    """Writes as a codec of ours does."""

    def __init__(self, codec: Codec[Any]) -> None:
        self._codec = codec

    def __call__(self, value: Any, ctx: object) -> bytes:
        return self._codec.encode(value)


def with_our_functions(target: Target) -> Way:
    def record(lead: Any) -> Made:
        mapped = target.map(lead)
        if mapped.failures:
            raise ValueError(f"{mapped.failures[0].field}: {mapped.failures[0].reason}")
        return mapped.record

    ids = {name: int(os.environ[f"{name}_SCHEMA"]) for name in ("DETAILS", "LEAD", "CRM")}
    return Way(
        details=Framed(Codec("LeadDetails", schema_id=ids["DETAILS"])),
        lead=map_lead,
        leads=Framing(Codec("Lead", schema_id=ids["LEAD"])),
        wants=target.wants,
        record=record,
        crm=Framing(Codec(avro_schema(target.mapping), schema_id=ids["CRM"])),
    )


def written_by_hand(target: Target) -> Way:
    registry = SchemaRegistryClientConfig(url=os.environ["REGISTRY_URL"])
    return Way(
        details=AvroDeserializer(schema_registry_client_config=registry),
        lead=by_hand.lead,
        leads=AvroSerializer(avro("Lead"), schema_registry_client_config=registry),
        wants=lambda lead: not lead["is_test"],
        record=by_hand.record,
        crm=AvroSerializer(avro_schema(target.mapping), schema_registry_client_config=registry),
    )


def main() -> None:
    env = os.environ
    [loaded] = read_folder(Path(env["MAPPING_DIR"]))
    way = {"functions": with_our_functions, "by-hand": written_by_hand}[sys.argv[1]](Target(loaded.mapping))
    targets, mapping = loaded.mapping.id.encode(), ("mapping", loaded.mapping.hash.encode())
    app = Application(
        broker_address=env["KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=env["GROUP"],
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        broker_availability_timeout=0,
        loglevel="ERROR",
        producer_extra_config={
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 20,
            "message.max.bytes": 8 * 2**20,
        },
    )

    def of_lead(lead: Any, _key: object, _timestamp: int, told: Told) -> list[tuple[str, bytes]]:
        said = [(name, value) for name, value in told if name in CARRIED]
        if lead["form_version"]:
            said.append(("form-version", lead["form_version"].encode()))
        return [*said, ("targets", targets if way.wants(lead) else b"")]

    def of_record(_record: Any, _key: object, _timestamp: int, told: Told) -> list[tuple[str, bytes]]:
        return [*(pair for pair in told if pair[0] != "targets"), mapping]

    (
        app.dataframe(app.topic(env["IN"], value_deserializer=way.details))
        .apply(way.lead)
        .set_headers(of_lead)
        .to_topic(app.topic(env["OUT"], value_serializer=way.leads))
        .filter(way.wants)
        .apply(way.record)
        .set_headers(of_record)
        .to_topic(app.topic(env["OUT_CRM"], value_serializer=way.crm))
    )
    app.run()


if __name__ == "__main__":
    main()
