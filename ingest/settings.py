"""The environment, read once, in small frozen groups: a command reads only the groups it needs.

A value comes from the environment, else from `.env`. Any `NAME` may instead be the content of the file that `NAME_FILE`
names, as containers mount secrets. What is missing or wrong is a sentence that names the variable and quotes no value.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ingest.settings_error import SettingsError as SettingsError  # noqa: PLC0414  this is where it is looked for

# Without the minimum an empty secret is accepted, and anyone can sign.
Secret = Annotated[SecretStr, Field(min_length=1)]

# A delivery may be one change, and a change is one record: Kafka has to take what the door does.
MAX_BODY_BYTES = 8 * 2**20 - 2**16


class _MountedSecrets(PydanticBaseSettingsSource):
    """`NAME_FILE`, the path of a file that holds the value of `NAME`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002  pydantic's signature
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if path is None:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            message = f"{field_name.upper()}_FILE names a file that cannot be read: {error.strerror}"
            raise SettingsError(message) from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class _Group(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _MountedSecrets(settings_cls), dotenv_settings


class KafkaSettings(_Group):
    """Where Kafka is and how to speak to it."""

    kafka_bootstrap_servers: str = Field(min_length=1, description="host:port, comma-separated")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ssl_ca_file: Path | None = Field(default=None, description="PEM of the CA; else the system's own")
    topic_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$", description="before topics, groups, subjects")


class RegistrySettings(_Group):
    """Where the schema registry is (Confluent's API)."""

    registry_url: str = Field(pattern=r"^https?://", description="for example http://127.0.0.1:8081")
    registry_username: str = ""
    registry_password: SecretStr = SecretStr("")


class AppSecret(BaseModel):
    """An app's secret; `app_id` is None when there is one app only and the secret was given bare."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)
    app_id: str | None = None
    secret: Secret


class MetaSettings(_Group):
    """What Meta's app settings and its Graph API need."""

    meta_app_secrets: Annotated[tuple[AppSecret, ...], NoDecode] = Field(
        min_length=1,
        description="comma-separated, the current one first; `<app id>:<secret>` where there are several apps",
    )
    meta_graph_url: str = Field(default="https://graph.facebook.com", pattern=r"^https?://")
    meta_api_version: str = Field(default="v25.0", pattern=r"^v\d+\.\d+$")
    meta_export_url: str = Field(
        default="https://www.facebook.com/ads/lead_gen/export_csv/",
        pattern=r"^https?://",
        description="where a form's leads are had as a file, for `leadstream import`",
    )

    @field_validator("meta_app_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        entries = [entry.strip() for entry in value.split(",")]
        if not all(entries):
            raise ValueError("one of the secrets is empty")
        pairs = [entry.rpartition(":") for entry in entries]
        return [{"app_id": app_id or None, "secret": secret} for app_id, _, secret in pairs]

    def secret_of(self, app_id: str | None) -> SecretStr | None:
        """The secret that signs for an app: its own, else the bare one of the only app; None for a stranger's."""
        own = [entry.secret for entry in self.meta_app_secrets if entry.app_id is not None and entry.app_id == app_id]
        bare = [entry.secret for entry in self.meta_app_secrets if entry.app_id is None]
        return next(iter(own + bare), None)


class WebhookSettings(_Group):
    """The public door."""

    meta_verify_token: Secret = Field(description="what you typed into the app dashboard; any long random string")
    ingest_host: str = "127.0.0.1"
    ingest_port: int = Field(default=8080, ge=0, le=65535, description="0 chooses a free one")
    ingest_max_body: int = Field(
        default=4 * 2**20, ge=2**16, le=MAX_BODY_BYTES, description="bytes; 1000 changes are about 300 kB"
    )
    ingest_max_in_flight: int = Field(default=64 * 2**20, ge=2**20, description="bytes of bodies open at once")
    ingest_ack_timeout: float = Field(default=5.0, gt=0, le=8, description="seconds to wait for the broker before 503")


class PagesSettings(_Group):
    """Whose tokens we hold."""

    meta_pages_file: Path = Field(description="YAML: pages: {'<page id>': {token: ..., app_id: ...}}")


class WorkSettings(_Group):
    """How much a worker has open at once."""

    fetch_concurrency: int = Field(default=64, ge=1, description="Graph calls under way at once, per worker")
    fetch_window: int = Field(default=1000, ge=1, description="records open at once, per worker")
    map_window: int = Field(default=2000, ge=1, description="records open at once, per worker")
    retry_window: int = Field(default=1000, ge=1, description="records open at once on each rung, per worker")
    failures_per_minute: int = Field(default=1000, ge=1, description="records a worker may give up a minute")


class RetrySettings(_Group):
    """When what failed is tried again."""

    retry_delays: Annotated[tuple[float, float, float], NoDecode] = Field(
        default=(60.0, 600.0, 3600.0), description="seconds, rising: of retry.1m, .10m and .1h; shorter in tests"
    )
    access_check: float = Field(default=60.0, gt=0, description="seconds between two looks whether access is repaired")

    @field_validator("retry_delays", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @field_validator("retry_delays")
    @classmethod
    def _rise(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not 0 < value[0] < value[1] < value[2]:
            raise ValueError("three numbers above 0, each greater than the one before")
        return value


class MappingSettings(_Group):
    """What the CRM topics are made from."""

    mapping_dir: Path | None = Field(default=None, description="folder of mapping files, *.yaml; none, no CRM topic")
    mapping_check: float = Field(default=5.0, gt=0, description="seconds between two looks whether a file changed")


class FormsSettings(_Group):
    """When forms are looked at."""

    forms_check: float = Field(default=3600.0, gt=0, description="seconds between two looks at each page's forms")


class HealthSettings(_Group):
    """When tokens, permissions and subscriptions are looked at, and from when on an expiry is an alarm."""

    health_check: float = Field(default=3600.0, gt=0, description="seconds between two looks at each page's access")
    token_alarm_days: float = Field(default=7.0, ge=0, description="days before a token or its data access ends")


class ConnectSettings(_Group):
    """Where Kafka Connect is, for `connect watch`."""

    connect_url: str = Field(
        default="http://127.0.0.1:8083",
        pattern=r"^https?://",
        description="its REST API, such as http://127.0.0.1:8083",
    )


class AdminSettings(_Group):
    """Health, readiness and metrics of any process; never on the public port."""

    admin_host: str = "127.0.0.1"
    admin_port: int = Field(default=0, ge=0, le=65535, description="0 chooses a free one and prints it")

    def at_port(self, port: int) -> Self:
        return self.model_copy(update={"admin_port": port})


Group = TypeVar("Group", bound=_Group)


def read(group: type[Group]) -> Group:
    """One group of settings; SettingsError names every variable that is missing or wrong, all at once."""
    try:
        return group()  # pydantic-settings fills the fields from the environment
    except ValidationError as error:
        problems = error.errors(include_input=False)
        raise SettingsError("\n".join(_sentence(group, each["loc"], each["msg"]) for each in problems)) from None


def _sentence(group: type[_Group], where: tuple[int | str, ...], message: str) -> str:
    name = str(where[0]) if where else group.__name__
    field = group.model_fields.get(name)
    meaning = f" ({field.description})" if field is not None and field.description else ""
    said = "is not set" if message == "Field required" else f"cannot be used: {message}"
    return f"{name.upper()} {said}{meaning}: set it in the environment or .env, or a path to it in {name.upper()}_FILE"
