"""Reading where nobody answers."""

import socket

import pytest

from deploy.reading import Decoder
from ingest import reading
from ingest.reading import Reader, ReadingError
from ingest.registry import RegistryUnavailable
from ingest.settings import KafkaSettings, RegistrySettings
from schemas.shapes import Lead


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_a_broker_that_is_away_is_a_sentence_in_bounded_time(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.2)
    with (
        Reader(KafkaSettings(kafka_bootstrap_servers=nobody)) as reader,
        pytest.raises(ReadingError, match=r"leads\.v1 cannot be read .* is the cluster up"),
    ):
        next(reader.read("leads.v1"))


def test_a_registry_that_is_away_is_a_sentence(nobody: str) -> None:
    decoder = Decoder[Lead]
    with pytest.raises(RegistryUnavailable, match="is it up"):
        decoder(RegistrySettings(registry_url=f"http://{nobody}"), "Lead", subject="leads.v1-value")
