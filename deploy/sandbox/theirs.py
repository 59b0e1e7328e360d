"""What the user's own settings name is used as it is, and nothing of ours is started in its place."""

from collections.abc import Mapping
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.kafka import client_options
from ingest.settings import KafkaSettings, read

from . import kafka
from .errors import SandboxError
from .part import Given, PartName


class _Named(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)
    kafka_bootstrap_servers: str = ""
    registry_url: str = ""


def given_by_settings() -> Mapping[PartName, Given]:
    """The parts that `KAFKA_BOOTSTRAP_SERVERS` and `REGISTRY_URL` name, in the environment or `.env`.

    SettingsError for a Kafka that is named but cannot be spoken to as it is set; SandboxError for one that asks for a
    login, without a registry to go with it.
    """
    named = _Named()
    given: dict[PartName, Given] = {}
    if named.kafka_bootstrap_servers:
        settings = read(KafkaSettings)
        if settings.kafka_security_protocol != "PLAINTEXT" and not named.registry_url:
            raise SandboxError(
                f"The sandbox's registry cannot use a Kafka with {settings.kafka_security_protocol}:"
                " set REGISTRY_URL to the registry that belongs to yours."
            )
        options = client_options(settings)
        where = settings.kafka_bootstrap_servers
        given["kafka"] = Given(
            name="kafka",
            where=where,
            answers=lambda: kafka.tells_its_brokers(options),
            asks_for_login=settings.kafka_security_protocol != "PLAINTEXT",
        )
    if named.registry_url:
        url = named.registry_url.rstrip("/")
        given["registry"] = Given(name="registry", where=url, answers=lambda: _answers_anything(f"{url}/subjects"))
    return given


def _answers_anything(url: str) -> bool:
    try:
        urlopen(url, timeout=2).close()  # noqa: S310  an http address, from the user's settings
    except HTTPError as refusal:
        refusal.close()  # whom it lets in is not asked here
    except (URLError, OSError):
        return False
    return True
