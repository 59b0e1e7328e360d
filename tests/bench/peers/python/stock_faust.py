"""Enrichment by a Faust agent as its users write one: one GET for each event, `CONCURRENCY` of them at once.

It loses records, and nothing in the program shows it: an event is acknowledged when the body is done with it, also when
it raised, also out of order, and `send` returns before the broker has the record.
"""

import os
import tempfile

import aiohttp
import faust
import orjson

FIELDS = (
    "id,created_time,ad_id,ad_name,adset_id,adset_name,campaign_id,campaign_name,form_id,is_organic,platform,"
    "partner_name,retailer_item_id,home_listing,vehicle,custom_disclaimer_responses,field_data,"
    "post_submission_check_result"
)


class Enricher(faust.App):
    """An app with the session that its agent asks through."""

    session: aiohttp.ClientSession

    async def on_start(self) -> None:
        await super().on_start()
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=int(os.environ["CONCURRENCY"])),
            headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
        )

    async def on_stop(self) -> None:
        await self.session.close()
        await super().on_stop()


def build(folder: str) -> Enricher:
    env = os.environ
    app = Enricher(
        env["GROUP"],
        broker=f"kafka://{env['KAFKA_BOOTSTRAP_SERVERS']}",
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
        producer_compression_type="lz4",
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        web_enabled=False,
        datadir=folder,
    )
    raw = app.topic(env["IN"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    out = app.topic(env["OUT"], key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(raw, concurrency=int(env["CONCURRENCY"]))
    async def enrich(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            lead = orjson.loads(event.value)["value"]["leadgen_id"]
            url = f"{env['GRAPH_URL']}/v25.0/{lead}"
            async with app.session.get(url, params={"fields": FIELDS}) as response:
                response.raise_for_status()
                body = await response.read()
            await out.send(key=lead.encode(), value=body, headers=event.headers)

    return app


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        faust.Worker(build(folder), loglevel="ERROR").execute_from_commandline()
