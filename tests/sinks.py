"""The sandbox's PostgreSQL and Kafka Connect as a test uses them: a CRM topic, a sink of it, and the rows it wrote."""

import asyncio
import json
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.connect.sink import postgres_sink
from deploy.sandbox import Sandbox
from ingest.codec import Codec
from ingest.registry import open_registry
from schemas import Schema

Row = dict[str, object]


class CrmTopic:
    """A topic of framed Avro by lead id, as `work map` writes one, in one partition."""

    def __init__(self, env: Mapping[str, str], name: str) -> None:
        self.name = name
        self._registry_url = env["REGISTRY_URL"]
        servers: dict[str, str | int | float | bool] = {"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"]}
        admin = AdminClient(servers)
        for made in admin.create_topics([NewTopic(name, num_partitions=1)]).values():
            made.result(30)
        self._producer = Producer(servers | {"partitioner": "murmur2_random", "log_level": 0})

    def schema(self, schema: Schema) -> Codec[Row]:
        """What `topics apply` does: registers the schema of the topic's values."""

        async def register() -> int:
            async with open_registry(self._registry_url) as registry:
                return await registry.register(f"{self.name}-value", schema)

        return Codec(schema, schema_id=asyncio.run(register()))

    def put(self, values: Mapping[str, bytes | None]) -> None:
        """Values by lead id, in their order; returns when the broker has them."""
        for lead_id, value in values.items():
            self._producer.produce(self.name, value, lead_id.encode())
        assert self._producer.flush(60) == 0


class Sink:
    """One connector into one table, configured as `deploy/connect` says."""

    def __init__(self, sandbox: Sandbox, topic: str, *, key: str = "lead_id") -> None:
        env = sandbox.env()
        self._rest = urlsplit(env["CONNECT_URL"]).netloc
        self._database = env["POSTGRES_URL"]
        self.name = topic.replace(".", "_")
        database = urlsplit(self._database)
        secrets = sandbox.home / "postgres" / "secrets"
        registry = env["REGISTRY_URL"].partition("/apis/")[0]
        self.config = postgres_sink(
            topic=topic,
            key=key,
            more={
                "connection.url": f"jdbc:postgresql://{database.hostname}:{database.port}{database.path}",
                "connection.password": f"${{file:{secrets}:password}}",
                "value.converter.apicurio.registry.url": f"{registry}/apis/registry/v2",
            },
        )

    @property
    def table(self) -> str:
        return self.config["collection.name.format"]

    def start(self, **more: str) -> None:
        """Makes the connector, or changes it; `more` are settings with `_` for `.`."""
        self.ask("PUT", "config", self.config | {name.replace("_", "."): value for name, value in more.items()})

    def ask(self, method: str, path: str, body: object = None) -> Any:  # `Any`: JSON
        """The answer of Connect's REST API about this connector; while it is taking up a change, it is asked again."""
        sent = None if body is None else json.dumps(body)
        end = time.monotonic() + 60
        while True:
            status, text = self._answer(method, path, sent)
            if status != HTTPStatus.CONFLICT or time.monotonic() > end:
                break
            time.sleep(0.1)
        assert status < HTTPStatus.MULTIPLE_CHOICES, (status, text)
        return json.loads(text) if text else None

    def _answer(self, method: str, path: str, body: str | None) -> tuple[int, bytes]:
        connection = HTTPConnection(self._rest, timeout=30)
        try:
            url = f"/connectors/{self.name}/{path}".rstrip("/")
            connection.request(method, url, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def state(self) -> str:
        """The connector's only task's, "" while it has none."""
        tasks = self.ask("GET", "status")["tasks"]
        return str(tasks[0]["state"]) if tasks else ""

    def has_failed(self) -> bool:
        return self.state() == "FAILED"

    def offsets(self) -> int:
        """How many records of its topic it has behind it, by what it has committed; it commits every five seconds."""
        return sum(at["offset"]["kafka_offset"] for at in self.ask("GET", "offsets")["offsets"])

    def execute(self, statement: str) -> None:
        with psycopg.connect(self._database, autocommit=True) as session:
            session.execute(statement.encode())

    def rows(self) -> dict[str, Row]:
        """The table by its first column, the lead's id; {} while there is no table or no database."""
        try:
            with psycopg.connect(self._database, row_factory=psycopg.rows.dict_row) as session:
                found = session.execute(f"select * from {self.table}".encode()).fetchall()  # noqa: S608  our own name
        except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
            return {}
        return {str(next(iter(row.values()))): row for row in found}

    def columns(self) -> dict[str, str]:
        """PostgreSQL's type of each column, in their order."""
        with psycopg.connect(self._database) as session:
            found = session.execute(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 order by attnum",
                (self.table,),
            )
            return dict(found.fetchall())

    def delete(self) -> None:
        self.ask("DELETE", "")
