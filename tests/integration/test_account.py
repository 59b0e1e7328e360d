"""`leadstream status` on a real cluster: it holds while everything runs and dies, and finds what was taken away."""

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

# Public, but brought into the module without saying so.
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from deploy import replay
from deploy.account import Account, take_account
from deploy.account.positions import Group
from deploy.topics import admin_client
from ingest.kafka import ConfluentProducer
from ingest.records import CRM, DETAILS, LEADS, RAW, RETRY, Received, Record, fate_record, headers, set_aside
from ingest.settings import KafkaSettings
from tests.programs import LEADSTREAM, System, eventually

NOW = time.time_ns() // 1_000_000


class Status:
    """`leadstream status` as a user runs it, with the user's state in a folder of the test."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self.folder = folder
        self.settings = KafkaSettings(
            kafka_bootstrap_servers=system.env["KAFKA_BOOTSTRAP_SERVERS"], topic_prefix=system.topics.prefix
        )

    def __call__(self, *arguments: str, command: Sequence[str] = ("status",)) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(LEADSTREAM), *command, *arguments],
            env=os.environ | self.system.env | {"XDG_STATE_HOME": str(self.folder / "state")},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    # `Any`: JSON.
    def asked(self, *arguments: str) -> tuple[int, Any]:
        done = self("--json", *arguments)
        return done.returncode, json.loads(done.stdout)

    def put(self, *records: Record) -> None:
        async def deliver() -> None:
            producer = ConfluentProducer(self.settings, self.system.topics, timeout=15.0)
            await producer.deliver(records)
            await producer.close(15.0)

        asyncio.run(deliver())

    def pass_over(self, worker: Group, *topics: str) -> None:
        """The group has committed past everything that is there, and nothing came of it."""
        cluster, group = admin_client(self.settings), self.system.topics.group(worker)
        ends = replay.plan(cluster, group, [self.system.topics(topic) for topic in topics], 2**40)
        replay.apply(cluster, ends)


@pytest.fixture
def status(system: System, tmp_path: Path) -> Status:
    return Status(system, tmp_path)


def test_the_account_holds_at_every_moment_while_workers_are_killed(system: System, status: Status) -> None:
    """Asked again and again, it never takes for lost what is on its way; at the end each record is one lead's."""
    system.graph.set_latency(0.02)
    programs = [system.start(*command).wait_ready() for command in (("serve",), ("work", "fetch"), ("work", "map"))]
    job = system.graph.deliver(system.webhook, 300, changes_per_post=3, rate=60, duplicates=0.2).job
    looks = 0
    while looks < 3 or not system.graph.progress(job).finished:
        account = take_account(status.settings, status.folder / "books.sqlite")
        assert (account.lost.examples, account.notes) == ((), ())
        looks += 1
        programs[1 + looks % 2].kill_child()
    system.graph.wait(job)
    acknowledged = set(system.graph.acknowledged())
    eventually(lambda: acknowledged <= system.keys(LEADS), 90, "every acknowledged lead on leads.v1")

    def has_all() -> bool:
        lags = take_account(status.settings, status.folder / "books.sqlite").lags
        return all(lag.records == 0 for lag in lags.values())

    eventually(has_all, 60, "every offset committed")
    code, told = status.asked()
    assert (code, told["lost"]["count"]) == (0, 0)
    assert sum(told["total"].values()) == len(system.records(RAW)) >= 300
    assert told["total"]["fetched"] + told["total"]["duplicate"] == sum(told["total"].values())
    assert told["map"] == {LEADS: {"mapped": len(acknowledged)}}
    assert told["lag"]["fetch"] == {"records": 0, "oldest": None, "expired": 0}
    shown = status()
    assert (shown.returncode, "Every acknowledged lead is accounted for: " in shown.stdout) == (0, True)
    print(f"\n{looks} looks while workers were killed, {sum(told['total'].values())} records, 0 lost")  # noqa: T201  the figure


def test_what_waits_and_is_parked_is_accounted_for_until_it_is_fetched(system: System, status: Status) -> None:
    """Meta does not answer, then a token is dead, then both are repaired; fetch and retry are killed now and then."""
    ladder = {"RETRY_DELAYS": "1,2,4", "ACCESS_CHECK": "0.5"}
    commands = (("serve",), ("work", "fetch"), ("work", "retry"), ("work", "map"))
    programs = {command[-1]: system.start(*command, **ladder).wait_ready() for command in commands}
    dead, *others = [page.page_id for page in system.graph.pages()]
    seen: Counter[str] = Counter()

    def look() -> Account:
        account = take_account(status.settings, status.folder / "books.sqlite")
        assert (account.lost.examples, account.notes) == ((), ())
        seen.update(+Counter({str(kind): number for kind, number in account.total.items()}))
        return account

    system.graph.kill_token(dead)
    silent = system.graph.fault("status", page=others[0])
    system.graph.wait(system.graph.deliver(system.webhook, 60, changes_per_post=3).job)
    eventually(lambda: look().holds and seen["parked"] and seen["waiting"], 60, "some are parked, and some waited")
    assert programs["fetch"].kill_child()
    account = look()
    assert dead in {each.page_id for each in account.access}
    assert account.parked
    system.graph.repair_token(dead)
    system.graph.lift(silent)
    assert programs["retry"].kill_child()
    eventually(lambda: look().total["fetched"] == len(system.records(RAW)), 90, "all of them fetched")
    assert set(system.graph.acknowledged()) == system.keys(DETAILS)
    assert status().returncode == 0


def test_what_a_worker_has_passed_over_is_named_and_the_advice_brings_it_back(system: System, status: Status) -> None:
    """A raw record without details, a copy on a rung that nobody forwarded, and details that nobody mapped."""
    programs = [system.start(*command).wait_ready() for command in (("serve",), ("work", "fetch"), ("work", "map"))]
    page = system.graph.pages()[0].page_id
    system.graph.wait(system.graph.deliver(system.webhook, 6, page=page).job)
    leads = set(system.graph.acknowledged())
    eventually(lambda: leads <= system.keys(LEADS), 60, "the leads")
    assert status.asked()[0] == 0

    programs[1].stop()
    system.graph.wait(system.graph.deliver(system.webhook, 2, page=page).job)
    unread = status.asked()
    assert (unread[0], unread[1]["pages"][page]) == (0, {"fetched": 6, "unread": 2})
    status.pass_over("fetch", RAW)
    gone = {at(record) for record in system.records(RAW)[-2:]}
    code, told = status.asked()
    assert (code, told["pages"][page]) == (1, {"fetched": 6, "lost": 2})
    assert {each["at"] for each in told["lost"]["examples"]} == gone
    alarm = status().stdout
    assert all(name in alarm for name in (page, *gone))

    advice = alarm.partition("`leadstream ")[2].partition("`")[0].replace("\n", " ").split()
    assert status(command=advice).returncode == 0
    system.start("work", "fetch").wait_ready()
    both = set(system.graph.acknowledged())
    eventually(lambda: both <= system.keys(LEADS), 60, "the leads that were passed over")
    assert status.asked()[1]["pages"][page] == {"fetched": 8}

    waited = system.records(RAW)[0]
    set_back = set_aside(waited, RETRY[0], reason="unavailable", attempt=2, now=0)
    status.put(set_back, fate_record(waited, "waiting", stage="fetch", reason="-", page_id=page, lead_id=None))
    assert status.asked()[1]["pages"][page] == {"fetched": 7, "waiting": 1}
    status.pass_over("retry", *RETRY)
    code, told = status.asked()
    assert (code, [each["at"] for each in told["lost"]["examples"]]) == (1, [at(waited)])

    programs[2].stop()
    status.put(Record(topic=DETAILS, key=b"4711", value=b"never mapped", headers=headers({"origin": "0@999"})))
    status.pass_over("map", DETAILS)
    told = status.asked("--page", "1")[1]
    assert (told["lost"]["count"], told["map"]) == (0, {LEADS: {}})
    assert status.asked()[1]["map"] == {LEADS: {"mapped": 8, "lost": 1}}
    assert "replay map --lead 4711" in status().stdout


def test_a_lead_that_is_missing_on_the_topic_of_one_target_is_named(system: System, status: Status) -> None:
    """Of two targets that have a topic; what `work map` would have written, less one record of it."""
    targets = ("sales.v1", "billing.v1")
    cluster = admin_client(status.settings)
    made = cluster.create_topics([NewTopic(system.topics(f"{CRM}{target}"), 3) for target in targets])
    for done in made.values():
        done.result(15)
    records = []
    for number in range(6):
        lead, origin = str(4711 + number).encode(), headers({"origin": f"0@{number}"})
        meant = targets if number < 4 else targets[:1]
        said = origin + headers({"targets": ",".join(meant)})
        crm = [f"{CRM}{target}" for target in meant if (number, target) != (2, "billing.v1")]
        records.append(Record(topic=LEADS, key=lead, value=b"-", headers=said, timestamp=NOW))
        records += [
            Record(topic=topic, key=lead, value=b"-", headers=origin, timestamp=NOW) for topic in (DETAILS, *crm)
        ]
    status.put(*records)
    code, told = status.asked()
    assert (code, told["map"][f"{CRM}billing.v1"]) == (0, {"mapped": 3, "unread": 3})

    status.pass_over("map", DETAILS)
    code, told = status.asked()
    assert (code, told["map"]) == (
        1,
        {
            LEADS: {"mapped": 6},
            f"{CRM}billing.v1": {"mapped": 3, "skipped": 2, "lost": 1},
            f"{CRM}sales.v1": {"mapped": 6},
        },
    )
    [example] = told["lost"]["examples"]
    assert (example["lead_id"], example["target"]) == ("4713", f"{CRM}billing.v1")
    shown = status().stdout
    assert f"LOST: 1 leads were passed over on their way to {CRM}billing.v1, as {example['at']} (lead 4713)" in shown
    lines = [line for line in shown.splitlines() if line.startswith("map  ")]
    assert lines[1:3] == [
        "map       leads.crm.billing.v1: 6 leads = 3 mapped, 2 skipped, 1 lost",
        "map       leads.crm.sales.v1:   6 leads = 6 mapped",
    ]
    status.put(Record(topic=f"{CRM}billing.v1", key=b"4713", value=b"-", timestamp=NOW))
    assert status.asked()[0] == 0


def at(record: Received) -> str:
    return f"{RAW} {record.partition}@{record.offset}"


def test_without_a_cluster_or_topics_it_says_what_to_look_at(status: Status) -> None:
    status.system.env["TOPIC_PREFIX"] = "nobody.has.this."
    done = status()
    assert (done.returncode, "leadstream topics apply" in done.stderr) == (1, True)
    status.system.env["KAFKA_BOOTSTRAP_SERVERS"] = ""
    assert status().returncode == 2
