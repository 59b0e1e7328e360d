"""The schema registry, by Confluent's HTTP API: which id a schema has, which schema an id is, what may change.

Workers ask it when they start and when they meet a schema they have not seen; between those, its outage stops nothing.
Source of the API: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TypeVar, cast
from urllib.parse import quote

import aiohttp
from pydantic import SecretStr

import schemas
from ingest.codec import Codec, UnknownSchema

Record = TypeVar("Record", bound=Mapping[str, object])

_MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
_IDS = 2**32  # four bytes of the frame
_NOT_A_REGISTRY = "what answers at REGISTRY_URL is not a schema registry"
_UNKNOWN = {40401, 40402, 40403, 40408, 40409}  # no such subject, version, schema, or rule of a subject's own
_PATIENCE = aiohttp.ClientTimeout(total=10)
# A registry that has just started says of schemas it is yet to read from its store that it knows none such (seen of
# Apicurio on Kafka). A record is not given up for that, so it has to say so for this long.
_DOUBT = 10.0
_ASK_AGAIN = 1.0  # seconds


class RegistryError(Exception):
    """The registry did not do what was asked; the text says what to look at."""


class RegistryUnavailable(RegistryError):
    """It did not answer, or not with an answer of this API. Trying again may help."""


class NotRegistered(RegistryError):
    """It answered, and does not know the schema."""


class Incompatible(RegistryError):
    """It refuses a schema that readers or records of the subject's earlier ones could not stand."""


class Registry:
    """One registry. Subjects carry their prefix; schemas are parsed JSON, as `schemas.avro` gives them."""

    def __init__(self, url: str, *, session: aiohttp.ClientSession, doubt: float = _DOUBT) -> None:
        """`doubt` is for how many seconds it has to say of an id that it knows none such, until that is believed."""
        self._url = url.rstrip("/")
        self._session = session
        self._doubt = doubt
        self._schemas: dict[int, asyncio.Task[schemas.Schema]] = {}

    async def id_of(self, subject: str, schema: schemas.Schema) -> int:
        """The id of exactly this schema under the subject; `NotRegistered` if there is none."""
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}", _as_text(schema))
        return _integer(answer, "id")

    async def schema_of(self, schema_id: int) -> schemas.Schema:
        """The schema with an id; `NotRegistered` if there is none, and the registry has said so for `doubt` seconds.

        An id never changes its meaning, so it is asked for once, however many records wait for the answer.
        """
        if schema_id not in self._schemas:
            asking = asyncio.create_task(self._look_up(schema_id))
            self._schemas[schema_id] = asking
            asking.add_done_callback(lambda asked: self._forget_failure(schema_id, asked))
        # Shielded: the record that asked first may be cancelled, the others still wait.
        return await asyncio.shield(self._schemas[schema_id])

    async def register(self, subject: str, schema: schemas.Schema) -> int:
        """The schema's id, new or known; `Incompatible` if the subject's rule forbids it."""
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", _as_text(schema))
        return _integer(answer, "id")

    async def objections(self, subject: str, schema: schemas.Schema) -> tuple[str, ...]:
        """What the registry has against the schema under the subject's present rule; empty if nothing."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions?verbose=true"
        try:
            answer = await self._ask("POST", path, _as_text(schema))
        except NotRegistered:  # no version yet that could object
            return ()
        if answer.get("is_compatible"):
            return ()
        reasons = answer.get("messages")
        return (
            tuple(str(reason) for reason in reasons) if isinstance(reasons, list) and reasons else ("no reason given",)
        )

    async def latest(self, subject: str) -> schemas.Schema | None:
        """The newest schema of the subject; None if it has none."""
        try:
            answer = await self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/latest")
        except NotRegistered:
            return None
        return _parsed(answer)

    async def versions(self, subject: str) -> list[schemas.Schema]:
        """Every schema of the subject that is not deleted, the oldest first."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        found: list[schemas.Schema] = []
        try:
            newest = _integer(await self._ask("GET", f"{path}/latest"), "version")
        except NotRegistered:
            return found
        for number in range(1, newest + 1):
            with suppress(NotRegistered):
                found.append(_parsed(await self._ask("GET", f"{path}/{number}")))
        return found

    async def compatibility(self, subject: str) -> str | None:
        """The subject's own rule, such as BACKWARD_TRANSITIVE; None if it has none."""
        try:
            answer = await self._ask("GET", f"/config/{quote(subject, safe='')}")
        except NotRegistered:
            return None
        return str(answer.get("compatibilityLevel"))

    async def set_compatibility(self, subject: str, rule: str) -> None:
        await self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": rule})

    async def _look_up(self, schema_id: int) -> schemas.Schema:
        answer = await self._ask_in_doubt(f"/schemas/ids/{schema_id}")
        if answer.get("schemaType", "AVRO") != "AVRO":  # a registry is shared with writers of other kinds
            raise NotRegistered(f"schema {schema_id} is no Avro schema")
        return _parsed(answer)

    async def _ask_in_doubt(self, path: str) -> dict[str, object]:
        clock = asyncio.get_running_loop().time
        believed = clock() + self._doubt
        while True:
            try:
                return await self._ask("GET", path)
            except NotRegistered:
                if (left := believed - clock()) <= 0:
                    raise
                await asyncio.sleep(min(left, _ASK_AGAIN))

    def _forget_failure(self, schema_id: int, asked: asyncio.Task[schemas.Schema]) -> None:
        if asked.cancelled() or asked.exception() is not None:
            del self._schemas[schema_id]

    async def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> dict[str, object]:
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                headers={"Accept": _MEDIA_TYPE},
                allow_redirects=False,  # a password is for this host only
                timeout=_PATIENCE,
            ) as response:
                status, text = response.status, await response.text()
            answer = json.loads(text)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            # No cause and no URL: the URL may carry a password.
            kind = type(error).__name__
            raise RegistryUnavailable(
                f"the schema registry gave no usable answer ({kind}): is it up, and is REGISTRY_URL right?"
            ) from None
        if not isinstance(answer, dict):
            raise RegistryUnavailable(_NOT_A_REGISTRY)
        said = f"{answer.get('error_code', status)}: {answer.get('message', 'no message')}"
        match status:
            case HTTPStatus.OK:
                return cast("dict[str, object]", answer)
            case HTTPStatus.NOT_FOUND if answer.get("error_code") in _UNKNOWN:
                raise NotRegistered(said)
            case HTTPStatus.NOT_FOUND:
                raise RegistryUnavailable("nothing of a schema registry is at REGISTRY_URL (404): is its path right?")
            case HTTPStatus.CONFLICT:
                raise Incompatible(said)
            case _ if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise RegistryUnavailable(f"the schema registry is in trouble ({said})")
            case _:
                raise RegistryError(f"the schema registry refused ({said})")


@asynccontextmanager
async def open_registry(
    url: str, *, username: str = "", password: SecretStr | None = None, doubt: float = _DOUBT
) -> AsyncIterator[Registry]:
    """A registry with a session of its own; no username means no authentication. `doubt` as `Registry` has it."""
    headers = {}
    if username:
        secret = password.get_secret_value() if password else ""
        headers["Authorization"] = aiohttp.encode_basic_auth(username, secret)
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Registry(url, session=session, doubt=doubt)


async def resolve_codec(registry: Registry, of: str | schemas.Schema, *, subject: str) -> Codec[Record]:
    """The codec of a schema, one of ours by its name, which `topics apply` registered under the subject."""
    schema = schemas.avro(of) if isinstance(of, str) else of
    try:
        schema_id = await registry.id_of(subject, schema)
    except NotRegistered:
        raise NotRegistered(
            f"schema {schema['name']} of this version is not registered under {subject}: run `leadstream topics apply`"
        ) from None
    return Codec(schema, schema_id=schema_id)


async def decode(codec: Codec[Record], frame: bytes, *, registry: Registry) -> Record:
    """The record inside a frame, whoever wrote it: an unknown schema is looked up once and learnt."""
    try:
        return codec.decode(frame)
    except UnknownSchema as unknown:
        codec.learn(unknown.schema_id, await registry.schema_of(unknown.schema_id))
        return codec.decode(frame)


def _parsed(answer: Mapping[str, object]) -> schemas.Schema:
    try:
        schema: schemas.Schema = json.loads(str(answer.get("schema")))
    except ValueError:
        raise RegistryUnavailable(_NOT_A_REGISTRY) from None
    return schema


def _as_text(schema: schemas.Schema) -> dict[str, str]:
    return {"schemaType": "AVRO", "schema": json.dumps(schema, separators=(",", ":"))}


def _integer(answer: Mapping[str, object], name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or not 0 <= value < _IDS:
        raise RegistryUnavailable(_NOT_A_REGISTRY)
    return value
