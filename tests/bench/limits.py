"""What cannot be beaten: the work without which there is no door, no enrichment and no map, and nothing around it.

Each runs in the bench's own process, on one core.
"""

import asyncio
import hmac
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import aiohttp
import fastavro
import orjson
from pydantic import SecretStr

from ingest.codec import Codec
from ingest.meta.client import GraphClient
from ingest.meta.errors import GraphError
from ingest.meta.graph import BATCH_SIZE
from ingest.meta.pages import PageAccess
from ingest.settings import AppSecret, MetaSettings
from processors.lead import map_lead
from processors.mapping.avro import avro_schema
from processors.mapping.file import Mapping as MappingFile
from processors.mapping.target import Target
from schemas import Schema, avro
from schemas.shapes import Lead, LeadDetails

from .running import Broken

_FRAME = 5  # bytes before the datum


@dataclass(slots=True, kw_only=True)
class Alone:
    """How many changes, leads or records were done, and what they took: seconds on the wall and of CPU."""

    done: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def door_alone(body: bytes, *, secret: str, changes: int, seconds: float) -> Alone:
    """The signature and the parsing of a body with so many changes, for so many seconds."""
    key, alone = secret.encode(), Alone()
    claimed = hmac.digest(key, body, "sha256")
    with _timed(alone):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(10):
                if not hmac.compare_digest(claimed, hmac.digest(key, body, "sha256")):
                    raise AssertionError("it was signed with this secret")
                orjson.loads(body)
            alone.done += 10 * changes
    return alone


def client_alone(graph_url: str, leads: Sequence[str], *, secret: str, calls: int, batches: bool = False) -> Alone:
    """Our client reads every lead once, `calls` at a time, singly or in batches of Meta's size; no Kafka."""
    settings = MetaSettings(
        meta_app_secrets=(AppSecret(secret=SecretStr(secret)),), meta_graph_url=graph_url, meta_api_version="v25.0"
    )
    return asyncio.run(_read(settings, leads, calls=calls, batches=batches))


def avro_alone(frames: Iterable[bytes], leads: Iterable[Lead], records: Iterable[Any], mapping: MappingFile) -> Alone:
    """fastavro reads each details record, and writes the lead and the CRM record that are made of it."""
    details, lead_schema, crm = (_parsed(each) for each in (avro("LeadDetails"), avro("Lead"), avro_schema(mapping)))
    alone = Alone()
    with _timed(alone):
        for frame, lead, record in zip(frames, leads, records, strict=True):
            datum = BytesIO(frame)
            datum.seek(_FRAME)
            fastavro.schemaless_reader(datum, details, None)
            for schema, made in ((lead_schema, lead), (crm, record)):
                out = BytesIO()
                fastavro.schemaless_writer(out, schema, made)
                out.getvalue()
            alone.done += 1
    return alone


def map_alone(frames: Iterable[bytes], mapping: MappingFile) -> Alone:
    """All that is pure in `work map`, in a loop: decode, map to a lead, map that to a record, encode both."""
    details: Codec[LeadDetails] = Codec("LeadDetails", schema_id=1)
    leads: Codec[Lead] = Codec("Lead", schema_id=2)
    crm: Codec[dict[str, object]] = Codec(avro_schema(mapping), schema_id=3)
    target, alone = Target(mapping), Alone()
    with _timed(alone):
        for frame in frames:
            lead = map_lead(details.decode(frame))
            leads.encode(lead)
            if target.wants(lead):
                crm.encode(target.map(lead).record)
            alone.done += 1
    return alone


@contextmanager
def _timed(alone: Alone) -> Iterator[None]:
    began, cpu = time.monotonic(), time.process_time()
    yield
    alone.seconds, alone.cpu_seconds = time.monotonic() - began, time.process_time() - cpu


def _parsed(schema: Schema) -> fastavro.types.Schema:
    return fastavro.parse_schema(dict(schema))


async def _read(settings: MetaSettings, leads: Sequence[str], *, calls: int, batches: bool) -> Alone:
    page, alone = PageAccess(page_id="1", token=SecretStr("token")), Alone()
    size = BATCH_SIZE if batches else 1
    waiting = iter([leads[first : first + size] for first in range(0, len(leads), size)])
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=calls), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        graph = GraphClient(session, settings)

        async def one_after_another() -> None:
            for taken in waiting:
                if batches:
                    answers = await graph.leads_batch([(lead, page) for lead in taken])
                    alone.done += sum(not isinstance(answer, GraphError) for answer in answers)
                else:
                    await graph.lead(taken[0], page)
                    alone.done += 1

        with _timed(alone):
            await asyncio.gather(*(one_after_another() for _ in range(calls)))
    if alone.done < len(leads):
        raise Broken(f"{len(leads) - alone.done} of {len(leads)} leads were refused")
    return alone
