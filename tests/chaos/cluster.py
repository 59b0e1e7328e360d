"""Three brokers and a controller of its own: what is left when a broker is lost, and then another."""

import socket
import subprocess
from functools import partial
from pathlib import Path

from deploy.sandbox import Process, Silent, artifacts
from deploy.sandbox.java import find_java
from deploy.sandbox.kafka import tells_its_brokers
from tests.programs import eventually

CONTROLLER = 100
BROKERS = (1, 2, 3)
_ID = "leadstream-chaos-AAAAA"  # 22 characters of base64
_MEMORY = ("-Xmx320m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_SHARED = """\
controller.quorum.voters={controller}@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
replica.lag.time.max.ms=5000
"""


class Cluster:
    """Lives under `home`; every record has three copies, and is acknowledged when two have it."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._ports = dict(zip((CONTROLLER, *BROKERS), _free_ports(1 + len(BROKERS)), strict=True))
        self._java = find_java(17)
        self._classpath = ":".join(map(str, artifacts.jars("kafka", Silent())))

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self._ports[broker]}" for broker in BROKERS)

    def start(self, *nodes: int) -> None:
        """Starts nodes, and returns when each broker of them answers."""
        for node in nodes:
            properties = self._home / f"{node}.properties"
            if not properties.exists():
                self._format(node, properties)
            log = Path(artifacts.__file__).with_name("kafka.log4j2.xml")
            options = (*_MEMORY, f"-Dlog4j2.configurationFile={log.as_uri()}", "-cp", self._classpath)
            self.node(node).start((str(self._java), *options, "kafka.Kafka", str(properties)), {})
        for node in nodes:
            if node != CONTROLLER:
                at = {"bootstrap.servers": f"127.0.0.1:{self._ports[node]}"}
                eventually(partial(tells_its_brokers, at), 90, f"broker {node} answers")

    def node(self, number: int) -> Process:
        """The process of a node, to kill, pause and stop."""
        return Process(self._home / str(number))

    def stop(self) -> None:
        for node in (*BROKERS, CONTROLLER):
            self.node(node).resume()
            self.node(node).kill()

    def _format(self, node: int, properties: Path) -> None:
        role, listener = ("controller", "CONTROLLER") if node == CONTROLLER else ("broker", "PLAINTEXT")
        shared = _SHARED.format(controller=CONTROLLER, controller_port=self._ports[CONTROLLER])
        at = f"{listener}://127.0.0.1:{self._ports[node]}"
        own = f"process.roles={role}\nnode.id={node}\nlisteners={at}\nlog.dirs={self._home / str(node) / 'data'}\n"
        if node != CONTROLLER:
            own += f"advertised.listeners={at}\n"
        properties.write_text(own + shared)
        format_ = ("format", "-t", _ID, "-c", str(properties), "--ignore-formatted")
        subprocess.run(  # our own jars on a found java
            [self._java, *_MEMORY, "-cp", self._classpath, "kafka.tools.StorageTool", *format_],
            capture_output=True,
            check=True,
        )


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
