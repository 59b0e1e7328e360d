"""Kafka Connect with Debezium's JDBC sink and a converter that reads our Avro: one worker, told what to do by REST."""

from dataclasses import dataclass
from pathlib import Path

from . import artifacts
from .java import find_java
from .kafka import LOGGING
from .part import Command, PartName
from .ports import PortName, Ports
from .progress import Progress
from .registry import answers

_JAVA = 17
# Its own names: the Kafka may be the user's, with a Connect of theirs beside it.
_PROPERTIES = """\
bootstrap.servers={bootstrap}
group.id=leadstream-sandbox-connect
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
rest.advertised.port={port}
plugin.path={plugins}
# The converter has no service manifest.
plugin.discovery=only_scan
# Connectors bring converters of their own; a worker has to name some.
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
# A connector names a file of secrets, and its configuration shows no more than that name.
config.providers=file
config.providers.file.class=org.apache.kafka.common.config.provider.DirectoryConfigProvider
config.providers.file.param.allowed.paths={secrets}
# Topics that Connect makes by itself; one node holds one copy.
config.storage.topic=leadstream-sandbox-connect-configs
config.storage.replication.factor=1
offset.storage.topic=leadstream-sandbox-connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=leadstream-sandbox-connect-status
status.storage.replication.factor=1
status.storage.partitions=1
# After kill -9 nobody waits five minutes for the old worker to come back, and not long for its consumers.
scheduled.rebalance.max.delay.ms=0
session.timeout.ms=6000
heartbeat.interval.ms=1500
consumer.session.timeout.ms=6000
consumer.heartbeat.interval.ms=1500
offset.flush.interval.ms=5000
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """The worker on `connect`; it speaks to the Kafka at `bootstrap`, and may read the files in `secrets`."""

    ports: Ports
    bootstrap: str
    secrets: Path
    name: PartName = "connect"
    listens: tuple[PortName, ...] = ("connect",)
    needs: tuple[PartName, ...] = ("kafka", "registry")

    @property
    def where(self) -> str:
        return f"http://127.0.0.1:{self.ports['connect']}"

    def prepare(self, directory: Path, progress: Progress) -> Command:
        java, classpath = find_java(_JAVA), ":".join(map(str, artifacts.jars("connect", progress)))
        plugins = directory / "plugins"
        plugins.mkdir(exist_ok=True)
        # A folder each, for each has its own versions of the same libraries.
        _point(plugins / "avro", artifacts.jars("connect-avro", progress)[0].parent)
        _point(plugins / "jdbc", artifacts.unpacked("connect-jdbc", progress) / "debezium-connector-jdbc")
        properties = directory / "worker.properties"
        properties.write_text(
            _PROPERTIES.format(
                bootstrap=self.bootstrap, port=self.ports["connect"], plugins=plugins, secrets=self.secrets
            )
        )
        options = (
            "-Xmx512m",
            "-Xms128m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Duser.timezone=UTC",  # else moments land in a timestamptz column as far off as this machine's zone is
            f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
        )
        program = "org.apache.kafka.connect.cli.ConnectDistributed"
        return Command(arguments=(str(java), *options, "-cp", classpath, program, str(properties)))

    def answers(self) -> bool:
        return answers(f"{self.where}/connectors")


def _point(link: Path, folder: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
