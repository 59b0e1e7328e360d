"""leadstream's own programs as a user starts them, for tests that start, kill and stop them."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.topics import admin_client, apply, plan
from ingest.kafka import ConfluentProducer
from ingest.reading import Reader, ReadingError
from ingest.records import Received, Record, Topics
from ingest.registry import open_registry
from ingest.settings import KafkaSettings
from processors.mapping.reading import read_folder

LEADSTREAM = Path(sys.executable).with_name("leadstream")


class Program:
    """One `leadstream` command with its parent process and the children that do the work."""

    def __init__(self, *arguments: str, env: Mapping[str, str], log: Path) -> None:
        self.name = " ".join(arguments)
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(LEADSTREAM), *arguments],
                env={**os.environ, **env},
                stdout=output,
                stderr=output,
                cwd=log.parent,  # where no .env of the checkout is read
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = 120.0) -> "Program":
        """Returns when the admin port says that all children are ready."""
        eventually(lambda: self.asked("ready")[0] == 200, seconds, f"{self.name} ready")
        return self

    def children(self) -> list[int]:
        """The pids of the children, as they are now."""
        return [process["pid"] for process in self.asked("health")[1] if process["pid"] is not None]

    def asked(self, path: str) -> tuple[int, list[dict[str, int | None]]]:
        """Status of the admin port and what it says of each process; (0, []) while nobody answers there."""
        found = re.search(r'"url": "(http://[^"]+)", "event": "admin.listening"', self.log.read_text())
        if found is None:
            return 0, []
        try:
            with urllib.request.urlopen(f"{found[1]}/{path}", timeout=5) as answer:  # noqa: S310  our own admin port
                return answer.status, json.load(answer)["processes"]
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)["processes"]
        except OSError:
            return 0, []

    def metrics(self) -> str:
        found = re.search(r'"url": "(http://[^"]+)", "event": "admin.listening"', self.log.read_text())
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/metrics", timeout=5) as answer:  # noqa: S310  our own admin port
            return str(answer.read().decode())

    def signal_child(self, number: signal.Signals) -> int | None:
        """A signal to one child; its pid, or None when there was none just then."""
        for pid in self.children():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                return pid
        return None

    def kill_child(self) -> bool:
        """SIGKILL to one child; whether there was one just then."""
        return self.signal_child(signal.SIGKILL) is not None

    def signal(self, number: signal.Signals) -> None:
        """A signal to the parent alone, if it still runs."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the parent alone: its children see that it is gone."""
        self._process.kill()
        self._process.wait()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ended(self, seconds: float = 60.0) -> int:
        """The exit code of a program that ends by itself."""
        return self._process.wait(seconds)

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM, and the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait(seconds)


class System:
    """All of leadstream under one prefix, on the sandbox."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self.env = dict(env)
        self.graph = GraphAdmin(env["META_GRAPH_URL"])
        self._folder = folder
        self._programs: list[Program] = []
        self._reader = Reader(self.kafka)
        self._records: dict[str, list[Received]] = {}

    def apply_topics(self) -> None:
        """Does what `leadstream topics apply --yes` does, without a process: nearly every test begins with it."""
        folder = self.env.get("MAPPING_DIR")
        mappings = [each.mapping for each in read_folder(Path(folder))] if folder else []

        async def mend() -> None:
            cluster = admin_client(self.kafka)
            async with open_registry(self.env["REGISTRY_URL"]) as registry:
                differences = await plan(cluster, registry, mappings=mappings, prefix=self.env["TOPIC_PREFIX"])
                assert await apply(differences, cluster, registry) == []

        asyncio.run(mend())

    def start(self, *arguments: str, **more: str) -> Program:
        """Starts a command with more settings, by name."""
        number = len(self._programs)
        log = self._folder / f"{number}-{'-'.join(arguments)}.log"
        program = Program(*arguments, env=self.env | more, log=log)
        self._programs.append(program)
        return program

    @property
    def webhook(self) -> str:
        return f"http://127.0.0.1:{self.env['INGEST_PORT']}/webhook"

    def records(self, topic: str) -> list[Received]:
        """Everything that was put on a topic up to now."""
        records = self._records.setdefault(topic, [])
        since = {record.partition: record.offset + 1 for record in records}
        with suppress(ReadingError):  # a broker that comes back has no leaders for a moment: the next look shows more
            records += self._reader.read(self.topics(topic), since)
        return records

    def put(self, *records: Record) -> None:
        """Puts records on their topics, as a program that is not ours might."""

        async def deliver() -> None:
            producer = ConfluentProducer(self.kafka, self.topics, timeout=60.0)
            await producer.deliver(records)
            await producer.close(15.0)

        asyncio.run(deliver())

    def keys(self, topic: str) -> set[str]:
        return {record.key.decode() for record in self.records(topic) if record.key is not None}

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(
            kafka_bootstrap_servers=self.env["KAFKA_BOOTSTRAP_SERVERS"], topic_prefix=self.env["TOPIC_PREFIX"]
        )

    @property
    def topics(self) -> Topics:
        return Topics(prefix=self.env["TOPIC_PREFIX"])

    def stop(self) -> None:
        for program in self._programs:
            program.stop()
        self._reader.close()


def eventually(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Looks until it holds; fails with what was waited for."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)
