"""Apache Kafka, one node that is broker and controller, from its published jars."""

import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from . import artifacts
from .errors import SandboxError
from .java import find_java
from .part import Command, PartName
from .ports import PortName, Ports
from .progress import Progress

_CLUSTER = "leadstream-sandbox-AAA"  # 22 characters of base64, as Kafka wants them
LOGGING = Path(__file__).with_name("kafka.log4j2.xml")
_JAVA = 17
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# Only `leadstream topics apply` makes topics.
auto.create.topics.enable=false
# One node holds one copy.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# No one waits for the members of a group on one machine.
group.initial.rebalance.delay.ms=0
# After kill -9 a new broker waits until the old one's session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """The broker on `kafka`, its controller on `controller`."""

    ports: Ports
    name: PartName = "kafka"
    listens: tuple[PortName, ...] = ("kafka", "controller")
    needs: tuple[PartName, ...] = ()

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.ports['kafka']}"

    def prepare(self, directory: Path, progress: Progress) -> Command:
        java, classpath = find_java(_JAVA), ":".join(map(str, artifacts.jars("kafka", progress)))
        properties, data = directory / "server.properties", directory / "data"
        properties.write_text(
            _PROPERTIES.format(data=data, kafka=self.ports["kafka"], controller=self.ports["controller"])
        )
        if not (data / "meta.properties").exists():
            progress.moment("kafka: formatting its data folder")
            format_ = ("format", "-t", _CLUSTER, "-c", str(properties), "--ignore-formatted")
            done = subprocess.run(  # noqa: S603  our own jars on a found java
                [java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath, "kafka.tools.StorageTool", *format_],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SandboxError(
                    f"{done.stdout}{done.stderr}\nKafka could not format {data} for the reason above:"
                    " put it right, or choose another --home."
                )
        options = (
            "-Xmx512m",
            "-Xms128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
        )
        return Command(arguments=(str(java), *options, "-cp", classpath, "kafka.Kafka", str(properties)))

    def answers(self) -> bool:
        try:  # a client that finds nobody goes on asking, and complains of it to stderr
            socket.create_connection(("127.0.0.1", self.ports["kafka"]), timeout=1).close()
        except OSError:
            return False
        return tells_its_brokers({"bootstrap.servers": self.where})


def tells_its_brokers(options: Mapping[str, str]) -> bool:
    """Whether a cluster, reached with librdkafka's options, says within two seconds what it consists of."""
    client = AdminClient({**options, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False
