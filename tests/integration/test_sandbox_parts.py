"""The sandbox with its real parts: one set of them for the run, and what happens when they are killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_server
from urllib.request import Request, urlopen

import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from deploy.sandbox import FREE_PORTS, PartName, Process, Sandbox, SandboxError
from deploy.sandbox.flock import held
from deploy.sandbox.part import USUAL

SCHEMA = '{"type": "record", "name": "Lead", "fields": [{"name": "id", "type": "string"}]}'
OTHER_SCHEMA = '{"type": "record", "name": "Other", "fields": []}'


def pids(sandbox: Sandbox) -> dict[PartName, int | None]:
    return {name: sandbox.part(name).pid for name in USUAL}


def listening(pid: int) -> set[str]:
    """The addresses a process listens on, as /proc has them: hex, in the machine's byte order."""
    sockets = {str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def send(bootstrap: str, topic: str, value: bytes) -> None:
    """Returns when the broker has acknowledged it."""
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    producer.produce(topic, value, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors == [None]


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest", "log_level": 0}
    )
    consumer.subscribe([topic])
    values: list[bytes] = []
    end = time.monotonic() + 60
    while len(values) < count and time.monotonic() < end:
        record = consumer.poll(1)
        if record is not None and record.error() is None:
            values.append(record.value() or b"")
    consumer.close()
    return values


def ask(url: str, body: object = None) -> object:
    """The JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"})) as answer:  # noqa: S310  the sandbox's own
        return json.load(answer)


def register(registry_url: str, subject: str, schema: str) -> object:
    """The answer has the schema's id."""
    return ask(f"{registry_url}/subjects/{subject}/versions", {"schema": schema})


def create(bootstrap: str, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    for future in client.create_topics([NewTopic(topic, num_partitions=1)]).values():
        future.result(30)


def test_every_part_answers_and_env_says_where(sandbox: Sandbox) -> None:
    states = {part.name: part.state for part in sandbox.status()}
    assert {name: states[name] for name in USUAL} == dict.fromkeys(USUAL, "answers")
    env = sandbox.env()
    brokers = AdminClient({"bootstrap.servers": env["KAFKA_BOOTSTRAP_SERVERS"]}).list_topics(timeout=10).brokers
    assert [f"{broker.host}:{broker.port}" for broker in brokers.values()] == [env["KAFKA_BOOTSTRAP_SERVERS"]]
    assert isinstance(ask(f"{env['REGISTRY_URL']}/subjects"), list)
    assert ask(f"{env['META_GRAPH_URL']}/_admin/health") is not None
    assert Path(env["META_PAGES_FILE"]).is_file()


def test_everything_listens_on_127_0_0_1_only(sandbox: Sandbox) -> None:
    """Java listens on the IPv6 form of it, which no other machine reaches either."""
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    for name, pid in pids(sandbox).items():
        assert pid is not None
        addresses = listening(pid)
        assert addresses, name
        assert addresses <= loopback, name


def test_up_leaves_what_runs_as_it_is(sandbox: Sandbox) -> None:
    before = pids(sandbox)
    sandbox.up()
    assert pids(sandbox) == before


def test_no_topic_is_made_by_asking_for_it(bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}meta.leadgen.raw"
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.list_topics(topic, timeout=10)
    assert topic not in client.list_topics(timeout=10).topics


def test_kafka_keeps_what_it_acknowledged_over_kill_9(sandbox: Sandbox, bootstrap: str, topic_prefix: str) -> None:
    topic = f"{topic_prefix}kept"
    create(bootstrap, topic)
    send(bootstrap, topic, b"before")
    sandbox.part("kafka").kill()
    assert {part.name: part.state for part in sandbox.status()}["kafka"] == "stopped"
    sandbox.up()
    send(bootstrap, topic, b"after")
    assert read(bootstrap, topic, 2) == [b"before", b"after"]


def test_the_registry_keeps_its_ids_over_kill_9_and_goes_on_after_one_of_kafka(
    sandbox: Sandbox, registry_url: str, topic_prefix: str
) -> None:
    before = register(registry_url, f"{topic_prefix}one-value", SCHEMA)
    sandbox.part("registry").kill()
    sandbox.up()
    sandbox.part("kafka").kill()
    sandbox.up()
    latest = ask(f"{registry_url}/subjects/{topic_prefix}one-value/versions/latest")
    assert isinstance(latest, dict)
    assert {"id": latest["id"]} == before
    assert register(registry_url, f"{topic_prefix}two-value", SCHEMA) == before
    assert register(registry_url, f"{topic_prefix}three-value", OTHER_SCHEMA) != before


def test_all_of_it_comes_back_at_the_same_addresses_after_kill_9(sandbox: Sandbox) -> None:
    before, env = pids(sandbox), sandbox.env()
    for name in USUAL:
        sandbox.part(name).kill()
    assert pids(sandbox) == dict.fromkeys(USUAL)
    sandbox.up()
    assert sandbox.env() == env
    assert not set(pids(sandbox).values()) & set(before.values())


def test_a_part_that_hangs_does_not_answer_and_goes_on_when_it_is_resumed(sandbox: Sandbox) -> None:
    sandbox.part("graph").pause()
    try:
        assert {part.name: part.state for part in sandbox.status()}["graph"] == "does not answer"
    finally:
        sandbox.part("graph").resume()
    sandbox.up()
    assert {part.name: part.state for part in sandbox.status()}["graph"] == "answers"


def test_a_kafka_that_ends_while_it_starts_is_shown_with_its_last_words(tmp_path: Path) -> None:
    broken = Sandbox(tmp_path, FREE_PORTS)
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "meta.properties").write_text("version=1\ncluster.id=of-another\nnode.id=7\n")
    with pytest.raises(SandboxError) as error:
        broken.up(["kafka"])
    log = tmp_path / "kafka" / "log"
    assert str(error.value).endswith(f"kafka ended while it started; the end of {log} is above.")
    assert log.read_text().splitlines()[-1] in str(error.value)


class Commands:
    """`leadstream sandbox` as its own process, at a home of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home
        own = {"KAFKA_BOOTSTRAP_SERVERS", "REGISTRY_URL"}
        self._environment = {name: value for name, value in os.environ.items() if name not in own}

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        program = "from deploy.sandbox.cli import sandbox; sandbox(prog_name='sandbox')"
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments, "--home", str(self._home)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self._environment, **settings},
            cwd=self._home,
        )

    def run(self, *arguments: str, **settings: str) -> tuple[int, str, str]:
        with self.start(*arguments, **settings) as command:
            out, err = command.communicate(timeout=120)
        return command.returncode, out, err


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of its own with nothing but PostgreSQL."""
    world = Sandbox(tmp_path, FREE_PORTS)
    world.up(["postgres"])
    yield world
    world.part("postgres").kill()


def test_postgres_keeps_what_it_committed_over_kill_9_and_listens_on_127_0_0_1_only(database: Sandbox) -> None:
    url = database.env()["POSTGRES_URL"]
    with psycopg.connect(url) as session:
        session.execute("create table kept as select 1 as one")
    pid = database.part("postgres").pid
    assert pid is not None
    assert listening(pid) == {"0100007F"}
    database.part("postgres").kill()
    database.up(["postgres"])
    assert database.env()["POSTGRES_URL"] == url
    with psycopg.connect(url) as session:
        assert session.execute("select one from kept").fetchall() == [(1,)]


def test_postgres_asks_for_its_password_and_only_its_user_may_read_it(database: Sandbox) -> None:
    file = database.home / "postgres" / "secrets" / "password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() in database.env()["POSTGRES_URL"]
    assert file.read_text() not in Path(f"/proc/{database.part('postgres').pid}/cmdline").read_text()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database.env()["POSTGRES_URL"].replace(file.read_text(), "guessed"))


def test_postgres_ends_in_order_though_a_client_is_connected(database: Sandbox) -> None:
    with psycopg.connect(database.env()["POSTGRES_URL"]):
        assert database.down() == ["postgres"]
    assert "database system is shut down" in database.part("postgres").last_lines()
    assert {part.name: part.state for part in database.status()} == {
        "kafka": "stopped",
        "registry": "stopped",
        "graph": "stopped",
        "postgres": "stopped",
        "connect": "not asked for",
    }


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    yield Commands(tmp_path)
    Process(tmp_path / "graph").kill()


def test_a_part_outlives_the_command_that_started_it_until_down(commands: Commands, tmp_path: Path) -> None:
    code, out, _ = commands.run("up", "graph", "--graph-port", "0")
    assert code == 0
    assert out.splitlines()[2].split()[:2] == ["graph", "answers"]
    assert Process(tmp_path / "graph").pid is not None
    code, _, err = commands.run("down")
    assert (code, err) == (0, "graph: stopped\n")
    assert Process(tmp_path / "graph").pid is None


def test_two_ups_at_once_make_one_sandbox(commands: Commands, tmp_path: Path) -> None:
    both = [commands.start("up", "graph", "--graph-port", "0") for _ in range(2)]
    told = [up.communicate(timeout=120) for up in both]
    assert [up.returncode for up in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert len([log for log in (tmp_path / "graph").iterdir() if log.name.startswith("log")]) == 1


def test_an_up_waits_for_the_command_that_works_on_the_same_sandbox(commands: Commands, tmp_path: Path) -> None:
    with held(tmp_path / "lock", lambda: pytest.fail("someone else holds it")):
        waiting = commands.start("up", "graph", "--graph-port", "0")
        assert waiting.stderr is not None
        assert waiting.stderr.readline() == "waiting for another command that works on this sandbox\n"
        assert not (tmp_path / "graph").exists()
    waiting.communicate(timeout=120)
    assert waiting.returncode == 0


def test_a_taken_port_is_named_with_the_option_that_chooses_another(commands: Commands, tmp_path: Path) -> None:
    with create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        code, _, err = commands.run("up", "graph", "--graph-port", str(port))
    assert code == 1
    assert f"Port {port}, where graph is to listen, is taken" in err
    assert "--graph-port" in err
    assert commands.run("up", "graph", "--graph-port", "0")[0] == 0


def test_a_kafka_of_yours_that_does_not_answer_is_named_and_none_is_started(commands: Commands, tmp_path: Path) -> None:
    code, _, err = commands.run("up", "kafka", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert code == 1
    assert "KAFKA_BOOTSTRAP_SERVERS names 127.0.0.1:1, which does not answer" in err
    assert not (tmp_path / "kafka").exists()


def test_a_kafka_of_yours_is_in_the_env_and_is_said_to_be_yours(commands: Commands, bootstrap: str) -> None:
    assert commands.run("up", "kafka", "graph", "--graph-port", "0", KAFKA_BOOTSTRAP_SERVERS=bootstrap)[0] == 0
    _, out, err = commands.run("env", KAFKA_BOOTSTRAP_SERVERS=bootstrap)
    assert f"KAFKA_BOOTSTRAP_SERVERS={bootstrap}" in out.splitlines()
    assert "kafka: yours" in err


def test_env_can_be_read_by_a_shell(commands: Commands) -> None:
    commands.run("up", "graph", "--graph-port", "0")
    _, out, _ = commands.run("env")
    shell = subprocess.run(
        ["sh", "-c", 'set -a; eval "$1"; env', "sh", out], capture_output=True, text=True, check=True, env={}
    ).stdout
    names = ("KAFKA_BOOTSTRAP_SERVERS", "REGISTRY_URL", "META_APP_SECRETS", "META_VERIFY_TOKEN", "META_PAGES_FILE")
    assert all(f"{name}=" in shell for name in (*names, "META_GRAPH_URL", "META_API_VERSION"))


def test_logs_are_shown_and_followed(commands: Commands, tmp_path: Path) -> None:
    commands.run("up", "graph", "--graph-port", "0")
    (tmp_path / "graph" / "log").write_text("a line of it\n")
    assert commands.run("logs", "graph") == (0, "a line of it\n", "")
    with commands.start("logs", "graph", "-f") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "a line of it\n"
        with (tmp_path / "graph" / "log").open("a") as log:
            log.write("another\n")
        assert following.stdout.readline() == "another\n"
        following.terminate()
