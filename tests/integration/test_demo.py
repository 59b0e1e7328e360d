"""`leadstream demo` on the sandbox's Kafka and registry, as on a user's own."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from deploy.demo.programs import NAMES, ProgramFailed, Programs
from deploy.sandbox import Process
from deploy.sandbox.progress import Silent
from tests.programs import eventually

LEADSTREAM = Path(sys.executable).with_name("leadstream")
STARTED = (*NAMES, "sandbox/graph")


class Demo:
    """The command, in a home of its own."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.state = home.with_name("state")
        self._settings = {**settings, "XDG_STATE_HOME": str(self.state)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [LEADSTREAM, "demo", "--home", str(self.home), *arguments],
            env=os.environ | self._settings,
            cwd=self.home.parent,  # where no .env of the checkout is read
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def running(self) -> list[str]:
        return [name for name in STARTED if Process(self.home / name).pid is not None]

    def leadstream(self, *arguments: str) -> str:
        """What a command prints in the shell that --keep tells of."""
        return subprocess.run(
            [LEADSTREAM, *arguments],
            env=os.environ | self.environment(),
            cwd=self.home.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout

    def records(self, topic: str) -> list[dict[str, Any]]:
        """Every record of a topic, as `tail` decodes it."""
        lines = self.leadstream("tail", "--topic", topic, "--from-beginning", "--json").splitlines()
        return [json.loads(line) for line in lines]

    def environment(self) -> dict[str, str]:
        """What --keep has written for the user's shell."""
        lines = (self.home / "env").read_text().splitlines()
        return dict(shlex.split(line)[0].split("=", 1) for line in lines)


@pytest.fixture
def demo(bootstrap: str, registry_url: str, tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path / "home", KAFKA_BOOTSTRAP_SERVERS=bootstrap, REGISTRY_URL=registry_url)
    yield demo
    for name in STARTED:
        Process(demo.home / name).stop()


def topics(bootstrap: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=15).topics)


def groups(bootstrap: str) -> set[str]:
    listed = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_consumer_groups().result(60)
    return {group.group_id for group in listed.valid}


def test_it_ends_with_the_same_leads_again_and_stays_when_told_to(demo: Demo) -> None:
    """It checks itself: every lead that a 200 has promised, one fate for each record, a replay that adds a field, and
    every lead that Meta has.
    """
    code, out, err = demo.run("--keep")
    assert (code, err) == (0, "")
    assert "11 leads were promised by a 200, and 11 are here." in out
    assert "11 of 11 leads are on leads.crm.sales.v1" in out
    assert "15 records on meta.leadgen.raw = 11 leads + 2 skipped + 1 dead + 1 duplicate: each has one fate." in out
    assert "leads.crm.sales.v1-value: schema sales is to be registered anew: + brand (string)" in out
    assert "11 of 11 records for the CRM have `brand` now, and else are equal." in out
    assert "11 of 11 leads are identical, and Meta was asked for a lead 0 times." in out
    assert "11 of 125 leads are here; missing: 114. Nothing was sent" in out
    assert "Complete: every lead that Meta has is here, 125 of 8 forms." in out
    assert "114 leads more are on leads.v1 and on leads.crm.sales.v1: each of them, once." in out
    assert demo.running() == list(STARTED)
    assert not demo.state.exists(), "books beside the user's own"

    leads, rows = demo.records("leads.v1"), demo.records("leads.crm.sales.v1")
    assert any(int(lead["key"]) > 2**53 and lead["value"]["is_organic"] for lead in leads)
    assert {lead["headers"]["targets"] for lead in leads} == {"sales.v1"}
    brands = {mapping: set[str | None]() for mapping in {row["headers"]["mapping"] for row in rows}}
    for row in rows:
        brands[row["headers"]["mapping"]].add(row["value"]["brand"])
    # Read with the schema of now, what the shipped file made has no brand.
    assert sorted(brands.values(), key=len) == [{None}, {"HARBOR", "SOLARWERK", "CASA"}]
    for topic in (leads, rows):
        times = Counter(record["key"] for record in topic)
        assert times.keys() == {lead["key"] for lead in leads}
        assert Counter(times.values()) == {2: 11, 1: 114}  # what was announced came once more by the replay
    file = Path(demo.environment()["MAPPING_DIR"]) / "sales.yaml"
    assert "brand" in demo.leadstream("mapping", "preview", str(file), "--last", "3")

    code, _, err = demo.run("--stop")
    assert (code, err, demo.running()) == (0, "", [])
    assert sorted(path.name for path in demo.home.iterdir()) == ["lock", "sandbox"]


def test_it_leaves_nothing_on_a_cluster_that_stays_and_nothing_running_when_interrupted(
    demo: Demo, bootstrap: str
) -> None:
    before, before_groups = topics(bootstrap), groups(bootstrap)
    process = demo.start()
    eventually(lambda: demo.running() == list(STARTED), 60, "all programs to run")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "are deleted from your Kafka" in out
    assert "Nothing is left running." in out
    assert demo.running() == []
    assert groups(bootstrap) == before_groups
    eventually(lambda: topics(bootstrap) == before, 60, "what the controller has deleted gone from every broker's list")


def test_what_cannot_be_is_a_sentence_with_the_logs_and_leaves_nothing_running(demo: Demo, registry_url: str) -> None:
    there = Demo(demo.home, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", REGISTRY_URL=registry_url)
    code, _, err = there.run()
    assert code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS names 127.0.0.1:1, which does not answer" in err
    assert f"{demo.home}/*/log" in err
    assert demo.running() == []


def test_a_program_that_cannot_start_is_told_with_the_end_of_its_log(demo: Demo) -> None:
    programs = Programs(demo.home, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "META_VERIFY_TOKEN": ""})
    programs.start("serve")
    with pytest.raises(ProgramFailed, match=r"`leadstream serve` ended while it started\n(.*\n)*.*META_VERIFY_TOKEN"):
        programs.wait_ready("serve", Silent())
