"""The enrichment loop of tutorials, with aiokafka and aiohttp: read a record, ask, send, read the next.

`one` goes through all partitions one record after another and commits by itself every second, as examples do: what was
read but not sent when it dies may be committed, and is lost. `partition` has a task for each partition and commits when
all that was fetched at once is sent: it loses nothing.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

FIELDS = (
    "id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,is_organic,platform,"
    "partner_name,retailer_item_id,home_listing,vehicle,custom_disclaimer_responses,field_data,"
    "post_submission_check_result"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriching:
    session: aiohttp.ClientSession
    producer: Any  # aiokafka ships no types
    url: str
    out: str

    async def one(self, record: ConsumerRecord) -> None:
        lead = orjson.loads(record.value)["value"]["leadgen_id"]
        async with self.session.get(f"{self.url}/v25.0/{lead}", params={"fields": FIELDS}) as response:
            response.raise_for_status()
            body = await response.read()
        await self.producer.send_and_wait(self.out, key=lead.encode(), value=body, headers=list(record.headers))

    async def in_turn(self, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            await self.one(record)


async def one_at_a_time(consumer: Any, enriching: Enriching) -> None:
    async for record in consumer:
        await enriching.one(record)


async def partition_by_partition(consumer: Any, enriching: Enriching) -> None:
    while True:
        fetched = await consumer.getmany(timeout_ms=1000, max_records=500)
        if fetched:
            await asyncio.gather(*map(enriching.in_turn, fetched.values()))
            await consumer.commit()


async def main(way: str) -> None:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    env = os.environ
    consumer = AIOKafkaConsumer(
        env["IN"],
        bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=env["GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=way == "one",
        auto_commit_interval_ms=1000,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], acks="all", enable_idempotence=True, compression_type="lz4"
    )
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {env['TOKEN']}"}) as session,
        producer,
        consumer,
    ):
        enriching = Enriching(session=session, producer=producer, url=env["GRAPH_URL"], out=env["OUT"])
        await (one_at_a_time if way == "one" else partition_by_partition)(consumer, enriching)


if __name__ == "__main__":
    with suppress(asyncio.CancelledError):
        asyncio.run(main(sys.argv[1]))
