"""What every test of the webhook service needs: a sender that signs as Meta does, and a door on a loopback socket."""

import asyncio
import hmac
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain

import aiohttp
from pydantic import SecretStr

import schemas
from deploy.topics.cluster import admin_client, create
from deploy.topics.differences import MissingTopic, topic_differences
from ingest.app import PublicPort
from ingest.door import Door, Sending
from ingest.records import DEAD, OTHER, RAW, UPDATES, Record, Topics
from ingest.settings import AppSecret, KafkaSettings, MetaSettings, WebhookSettings

APP_SECRET = "planted-app-secret"
VERIFY_TOKEN = "planted-verify-token"
NOW = 1728000000123


def webhook_settings(**changed: object) -> WebhookSettings:
    return WebhookSettings.model_validate({"meta_verify_token": VERIFY_TOKEN, "ingest_ack_timeout": 5.0} | changed)


def meta_settings() -> MetaSettings:
    return MetaSettings(meta_app_secrets=(AppSecret(secret=SecretStr(APP_SECRET)),))


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def signed(body: bytes, secret: str = APP_SECRET) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()}


def leadgen(lead: int, page: int = 153125381133) -> dict[str, object]:
    return {
        "field": "leadgen",
        "value": {"leadgen_id": str(lead), "page_id": str(page), "form_id": "7", "created_time": 1728000000},
    }


def post_of(*changes: object, page: int = 153125381133) -> bytes:
    entry = {"id": str(page), "time": 1728000001, "changes": list(changes)}
    return json.dumps({"object": "page", "entry": [entry]}, separators=(",", ":")).encode()


@dataclass
class Sender:
    """Posts to one webhook."""

    url: str
    session: aiohttp.ClientSession

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> "Answered":
        async with self.session.post(self.url, data=body, headers=signed(body) if headers is None else headers) as got:
            return Answered(got.status, dict(got.headers), await got.read())

    async def get(self, url: str = "", **query: str) -> "Answered":
        async with self.session.get(url or self.url, params=query) as got:
            return Answered(got.status, dict(got.headers), await got.read())

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection by hand, for what no well-behaved client sends."""
        host, _, port = self.url.split("/")[2].partition(":")
        return await asyncio.open_connection(host, int(port))


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> dict[str, str]:
        told: dict[str, str] = json.loads(self.body)
        return told


@asynccontextmanager
async def sending_to(host: str, port: int) -> AsyncIterator[Sender]:
    """A sender without a limit of connections: a flood is a flood."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:
        yield Sender(f"http://{host}:{port}/webhook", session)


@asynccontextmanager
async def open_door(producer: Sending, **settings: object) -> AsyncIterator["Opened"]:
    """A door over `producer`, with settings as in the environment, run as the service runs it."""
    fatal = asyncio.Event()
    door = Door(webhook_settings(**settings), meta_settings(), producer, clock=lambda: NOW, on_fatal=fatal.set)
    port = PublicPort(door, drain=0.01)
    with listening() as sock:
        await port.open(sock)
        try:
            async with sending_to(*sock.getsockname()) as sender:
                yield Opened(door, port, sender, fatal)
        finally:
            await port.close()


@dataclass
class Opened:
    door: Door
    port: PublicPort
    sender: Sender
    fatal: asyncio.Event


@dataclass
class Broker:
    """A producer that keeps what it was given, and can be told to refuse, to hang or to fail."""

    records: list[Record] = field(default_factory=list)
    refusal: Callable[[], Exception] | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # set when a delivery has come
    open: asyncio.Event = field(default_factory=asyncio.Event)  # while it is not set, deliveries hang

    def __post_init__(self) -> None:
        self.open.set()
        self._sending: set[asyncio.Future[None]] = set()

    def send(self, records: Sequence[Record], settled: Callable[[Exception | None], None]) -> None:
        sending = asyncio.ensure_future(self._deliver(records))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        sending.add_done_callback(lambda sent: settled(sent.exception()))  # type: ignore[arg-type]  # none ends a loop

    async def _deliver(self, records: Sequence[Record]) -> None:
        self.asked.set()
        await self.open.wait()
        if self.refusal is not None:
            raise self.refusal()
        self.records += records

    async def reachable(self, timeout: float) -> bool:
        return self.refusal is None


def create_topics(kafka: KafkaSettings) -> None:
    """The topics that the door writes, as they are declared."""
    names = Topics(prefix=kafka.topic_prefix)
    declared = [schemas.topics()[topic] for topic in (RAW, UPDATES, OTHER, DEAD)]
    missing = [topic_differences(topic, name=names(topic.name), found=None, replication=1) for topic in declared]
    create(admin_client(kafka), [each for each in chain(*missing) if isinstance(each, MissingTopic)])
