"""The map as quixstreams does it: details in, `leads.v1` and one CRM topic out, by leadstream's own pure functions.

One chain without a branch: behind a branch quixstreams pickles the value for the second way, which nothing here needs.
At least once: an offset is committed when all that was produced before it is flushed.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.models import Deserializer, Serializer

from ingest.codec import Codec
from processors.lead import map_lead
from processors.mapping.avro import avro_schema
from processors.mapping.reading import read_folder
from processors.mapping.target import Target

CARRIED = ("origin", "source", "delivery", "received-at")
Told = Iterable[tuple[str, bytes]]


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


def main() -> None:
    env = os.environ
    [loaded] = read_folder(Path(env["MAPPING_DIR"]))
    mapping, target = loaded.mapping, Target(loaded.mapping)
    mapped_by = ("mapping", mapping.hash.encode())
    details: Codec[Any] = Codec("LeadDetails", schema_id=int(env["DETAILS_SCHEMA"]))
    leads: Codec[Any] = Codec("Lead", schema_id=int(env["LEAD_SCHEMA"]))
    crm: Codec[Any] = Codec(avro_schema(mapping), schema_id=int(env["CRM_SCHEMA"]))
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
        return [*said, ("targets", mapping.id.encode() if target.wants(lead) else b"")]

    def of_record(_record: Any, _key: object, _timestamp: int, told: Told) -> list[tuple[str, bytes]]:
        return [*(pair for pair in told if pair[0] != "targets"), mapped_by]

    def record(lead: Any) -> dict[str, object]:
        mapped = target.map(lead)
        if mapped.failures:
            raise ValueError(f"{mapped.failures[0].field}: {mapped.failures[0].reason}")
        return mapped.record

    (
        app.dataframe(app.topic(env["IN"], value_deserializer=Framed(details)))
        .apply(map_lead)
        .set_headers(of_lead)
        .to_topic(app.topic(env["OUT"], value_serializer=Framing(leads)))
        .filter(target.wants)
        .apply(record)
        .set_headers(of_record)
        .to_topic(app.topic(env["OUT_CRM"], value_serializer=Framing(crm)))
    )
    app.run()


if __name__ == "__main__":
    main()
