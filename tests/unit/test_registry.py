"""The registry's API over real HTTP, against a few lines that answer as Confluent's documentation says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import SecretStr

import schemas
from ingest.codec import Codec
from ingest.registry import (
    Incompatible,
    NotRegistered,
    Registry,
    RegistryError,
    RegistryUnavailable,
    decode,
    open_registry,
    resolve_codec,
)
from schemas.shapes import LeadDetails

PASSWORD = "swordfish"
DETAILS: LeadDetails = {
    "lead_id": "55459717045641545",
    "page_id": None,
    "form_id": None,
    "answer": "{}",
    "completeness": "FULL",
    "missing_fields": [],
    "source": "webhook",
    "api_version": None,
    "change": None,
    "form": None,
    "form_version": None,
    "received_at": None,
    "fetched_at": datetime(2026, 11, 24, tzinfo=UTC),
}
Handler = Callable[[web.Request], Awaitable[web.Response]]


def answer(body: object, status: int = 200) -> Handler:
    async def respond(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return respond


@asynccontextmanager
async def registry_that(handler: Handler, *, doubt: float = 0.0) -> AsyncIterator[Registry]:
    """A registry client whose server answers every request with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with open_registry(
            f"http://127.0.0.1:{port}", username="me", password=SecretStr(PASSWORD), doubt=doubt
        ) as registry:
            yield registry
    finally:
        await runner.cleanup()


def test_the_id_of_a_schema_is_looked_up_under_its_subject() -> None:
    asked: list[tuple[str, str, object]] = []

    async def respond(request: web.Request) -> web.Response:
        asked.append((request.method, request.path, json.loads((await request.json())["schema"])))
        return web.json_response({"subject": "t.details-value", "version": 1, "id": 41, "schema": "..."})

    async def scenario() -> Codec[LeadDetails]:
        async with registry_that(respond) as registry:
            return await resolve_codec(registry, "LeadDetails", subject="t.details-value")

    codec = asyncio.run(scenario())
    assert asked == [("POST", "/subjects/t.details-value", schemas.avro("LeadDetails"))]
    assert codec.name == "LeadDetails"


def test_a_schema_that_is_not_registered_is_answered_with_what_to_run() -> None:
    async def scenario() -> None:
        async with registry_that(answer({"error_code": 40403, "message": "Schema not found"}, 404)) as registry:
            await resolve_codec(registry, "LeadDetails", subject="details-value")

    with pytest.raises(NotRegistered, match="run `leadstream topics apply`"):
        asyncio.run(scenario())


def test_records_that_wait_for_the_same_schema_ask_for_it_once() -> None:
    calls: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.json_response({"schema": json.dumps(schemas.avro("LeadDetails"))})

    async def scenario() -> None:
        async with registry_that(respond) as registry:
            waiting = [asyncio.create_task(registry.schema_of(2)) for _ in range(20)]
            await asyncio.sleep(0)
            waiting[0].cancel()  # the one that asked: its worker lost the partition
            assert await asyncio.gather(*waiting[1:]) == [schemas.avro("LeadDetails")] * 19

    asyncio.run(scenario())
    assert calls == ["/schemas/ids/2"]


def test_a_schema_that_could_not_be_had_is_asked_for_again() -> None:
    answers = [
        web.json_response({"error_code": 50001, "message": "store"}, status=500),
        web.json_response({"schema": "{not json"}),
        web.json_response({"schema": json.dumps(schemas.avro("LeadDetails"))}),
    ]

    async def respond(_: web.Request) -> web.Response:
        return answers.pop(0)

    async def scenario() -> None:
        async with registry_that(respond) as registry:
            for _ in range(2):
                with pytest.raises(RegistryUnavailable):
                    await registry.schema_of(2)
            assert await registry.schema_of(2) == schemas.avro("LeadDetails")

    asyncio.run(scenario())


def test_a_registry_that_has_just_started_is_not_believed_that_it_knows_no_such_schema() -> None:
    """Apicurio says so of every schema until it has read its own journal; a record would lie dead for that."""
    answers = [
        web.json_response({"error_code": 40403, "message": "Schema 2 not found."}, status=404),
        web.json_response({"schema": json.dumps(schemas.avro("LeadDetails"))}),
    ]

    async def respond(_: web.Request) -> web.Response:
        return answers.pop(0)

    async def scenario() -> None:
        async with registry_that(respond, doubt=0.02) as registry:
            assert await registry.schema_of(2) == schemas.avro("LeadDetails")

    asyncio.run(scenario())


def test_a_registry_that_keeps_saying_that_it_knows_no_such_schema_is_believed() -> None:
    async def scenario() -> None:
        async with registry_that(answer({"error_code": 40403, "message": "no"}, 404), doubt=0.02) as registry:
            with pytest.raises(NotRegistered):
                await registry.schema_of(2)

    asyncio.run(scenario())


def test_an_unknown_writer_is_looked_up_once_and_learnt() -> None:
    calls: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        calls.append(request.path)
        return web.json_response({"schema": json.dumps(schemas.avro("LeadDetails"))})

    async def scenario() -> None:
        theirs, ours = Codec[LeadDetails]("LeadDetails", schema_id=2), Codec[LeadDetails]("LeadDetails", schema_id=1)
        frame = theirs.encode(DETAILS)
        async with registry_that(respond) as registry:
            for _ in range(3):
                assert await decode(ours, frame, registry=registry) == DETAILS

    asyncio.run(scenario())
    assert calls == ["/schemas/ids/2"]


@pytest.mark.parametrize(
    "handler",
    [
        answer({"error_code": 50001, "message": "store"}, 500),
        answer(["not", "an", "object"]),
        answer({"no": "id"}),
        answer({"id": -1}),
        answer({"id": 2**32}),
        answer({"status": 404, "error": "Not Found"}, 404),
    ],
)
def test_trouble_of_the_registry_is_not_taken_for_an_unknown_schema(handler: Handler) -> None:
    async def scenario() -> None:
        async with registry_that(handler) as registry:
            await registry.id_of("details-value", schemas.avro("LeadDetails"))

    with pytest.raises(RegistryUnavailable):
        asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["PROTOBUF", "JSON"])
def test_a_schema_of_another_kind_is_none_of_ours(kind: str) -> None:
    """A registry is shared. Taken for trouble of its own, such a schema would be asked for without end."""

    async def scenario() -> None:
        async with registry_that(answer({"schema": 'syntax = "proto3";', "schemaType": kind})) as registry:
            with pytest.raises(NotRegistered):
                await registry.schema_of(7)

    asyncio.run(scenario())


def test_a_registry_that_is_down_is_named_by_its_setting_and_without_the_password() -> None:
    async def scenario() -> None:
        async with open_registry("http://me:swordfish@127.0.0.1:1") as registry:
            await registry.compatibility("details-value")

    with pytest.raises(RegistryUnavailable, match="REGISTRY_URL") as caught:
        asyncio.run(scenario())
    assert PASSWORD not in f"{caught.value}{caught.value.__cause__}"


def test_a_refused_schema_says_why() -> None:
    async def scenario() -> None:
        async with registry_that(answer({"error_code": 409, "message": "reader lacks lead_id"}, 409)) as registry:
            await registry.register("details-value", schemas.avro("LeadDetails"))

    with pytest.raises(Incompatible, match="reader lacks lead_id"):
        asyncio.run(scenario())


@pytest.mark.parametrize(
    ("handler", "objections"),
    [
        (answer({"is_compatible": True}), ()),
        (answer({"is_compatible": False, "messages": ["lead_id lacks a default"]}), ("lead_id lacks a default",)),
        (answer({"is_compatible": False}), ("no reason given",)),
        (answer({"error_code": 40401, "message": "Subject not found"}, 404), ()),
    ],
)
def test_objections_are_those_the_registry_tells(handler: Handler, objections: tuple[str, ...]) -> None:
    async def scenario() -> tuple[str, ...]:
        async with registry_that(handler) as registry:
            return await registry.objections("details-value", schemas.avro("LeadDetails"))

    assert asyncio.run(scenario()) == objections


def test_a_subject_without_a_rule_of_its_own_has_none() -> None:
    async def scenario() -> str | None:
        async with registry_that(answer({"error_code": 40408, "message": "no config"}, 404)) as registry:
            return await registry.compatibility("details-value")

    assert asyncio.run(scenario()) is None


def test_a_redirection_is_not_followed_as_it_would_take_the_password_along() -> None:
    seen: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        seen.append(request.path)
        raise web.HTTPFound("/elsewhere")

    async def scenario() -> None:
        async with registry_that(respond) as registry:
            await registry.schema_of(1)

    with pytest.raises(RegistryError):
        asyncio.run(scenario())
    assert seen == ["/schemas/ids/1"]


def test_who_asks_is_authenticated() -> None:
    seen: list[str] = []

    async def respond(request: web.Request) -> web.Response:
        seen.append(request.headers["Authorization"])
        return web.json_response({"compatibilityLevel": "NONE"})

    async def scenario() -> None:
        async with registry_that(respond) as registry:
            await registry.compatibility("details-value")

    asyncio.run(scenario())
    assert seen == ["Basic bWU6c3dvcmRmaXNo"]
