"""Apicurio Registry with Confluent's API. Its schemas are in a topic of Kafka, so that a kill -9 loses none."""

from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from . import artifacts
from .java import find_java
from .part import Command, PartName
from .ports import PortName, Ports
from .progress import Progress

_JAVA = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The registry on `registry`, its health on `registry-management`; it speaks to the Kafka at `bootstrap`."""

    ports: Ports
    bootstrap: str
    name: PartName = "registry"
    listens: tuple[PortName, ...] = ("registry", "registry-management")
    needs: tuple[PartName, ...] = ("kafka",)

    @property
    def where(self) -> str:
        return f"http://127.0.0.1:{self.ports['registry']}/apis/ccompat/v7"

    def prepare(self, directory: Path, progress: Progress) -> Command:  # noqa: ARG002  it writes to Kafka only
        java, unpacked = find_java(_JAVA), artifacts.unpacked("registry", progress)
        memory = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        # Else its log is a line for every request, and every setting of its Kafka clients.
        quiet = ('-Dquarkus.log.category."org.apache.kafka".level=WARN', "-Dquarkus.http.access-log.enabled=false")
        return Command(
            arguments=(str(java), *memory, *quiet, "-jar", str(unpacked / "quarkus-run.jar")),
            environment={
                "APICURIO_STORAGE_KIND": "kafkasql",
                "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS": self.bootstrap,
                # It waits four times this long for records that may not be there before it reads the journal to its
                # end, however long that takes: 5 seconds each by default.
                "APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT": "200",
                "QUARKUS_HTTP_HOST": "127.0.0.1",
                "QUARKUS_HTTP_PORT": str(self.ports["registry"]),
                "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",  # without the two it listens on all addresses, port 9000
                "QUARKUS_MANAGEMENT_PORT": str(self.ports["registry-management"]),
            },
        )

    def answers(self) -> bool:
        return answers(f"{self.where}/subjects")


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urlopen(url, timeout=2) as answer:  # noqa: S310  an http address of ours or from the user's settings
            return bool(answer.status == 200)  # noqa: PLR2004
    except (URLError, OSError):
        return False
