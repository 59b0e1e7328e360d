"""What Kafka knows of access: what `meta.access` says now, and what has come to the door with and without values.

Doctor works without it: what could not be read is a sentence.
"""

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ingest.health import Evidence
from ingest.reading import Reader, ReadingError
from ingest.records import ACCESS, OTHER, RAW, Received, Topics
from ingest.settings import KafkaSettings, SettingsError, read
from processors.access import AccessStates

_REACHABLE = 2.0  # seconds; the broker's own client would try for far longer
_NEWEST_OTHER = 2000  # records of each partition; the rest of Messenger's may be there too
_NEWEST_RAW = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`evidence` is None where it was not read, and `missing` says why."""

    evidence: Evidence | None = None
    missing: str | None = None


def read_known(states: AccessStates) -> Known:
    """Reads `meta.access` into `states`, and the evidence."""
    try:
        settings = read(KafkaSettings)
    except SettingsError as error:
        return Known(missing=f"Kafka was not asked: {error}")
    if not _is_reachable(settings.kafka_bootstrap_servers):
        return Known(missing=f"Kafka was not asked: nobody answers at {settings.kafka_bootstrap_servers}.")
    topics = Topics(prefix=settings.topic_prefix)
    try:
        with Reader(settings) as reader:
            for received in reader.read(topics(ACCESS)):
                states.follow(received)
            # The second reading of a reader ends the first.
            other = list(_tail(reader, topics(OTHER), _NEWEST_OTHER))
            found = evidence(_tail(reader, topics(RAW), _NEWEST_RAW), other)
    except ReadingError as error:
        return Known(missing=f"Kafka was not read: {error}")
    return Known(evidence=found)


def evidence(raw: Iterable[Received], other: Iterable[Received]) -> Evidence:
    """What records on raw and on `meta.webhook.other` tell of notifications with and without values."""
    with_values = _newest(received for received in raw if received.header("source") == "webhook")
    return Evidence(with_values=with_values, without_values=_newest(filter(_names_no_lead, other)))


def _tail(reader: Reader, topic: str, most: int) -> Iterator[Received]:
    since = {number: max(first, end - most) for number, (first, end) in reader.bounds(topic).items()}
    return reader.read(topic, since)


def _newest(records: Iterable[Received]) -> dict[str, int]:
    found: dict[str, int] = {}
    for received in records:
        if received.key is not None:
            page_id = received.key.decode("utf-8", "replace")
            found[page_id] = max(found.get(page_id, 0), received.timestamp)
    return found


def _names_no_lead(received: Received) -> bool:
    with suppress(ValueError):
        entry = json.loads(received.value or b"")
        return isinstance(entry, dict) and "changed_fields" in entry
    return False


def _is_reachable(servers: str) -> bool:
    for server in servers.split(","):
        host, _, port = server.strip().rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host.strip("[]"), int(port)), _REACHABLE):
            return True
    return False
