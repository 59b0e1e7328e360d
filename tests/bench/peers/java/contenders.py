"""Confluent's parallel consumer, by key and without an order, on Vert.x and the Java that Maven runs on."""

from collections.abc import Callable
from pathlib import Path

from tests.bench.contender import Build, Contender, Say
from tests.bench.running import Command

_JDK = "a JDK of 17 or newer, apt-get install openjdk-17-jdk-headless"
_LIBRARIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
BUILD = Build(
    name="java",
    sources=Path(__file__).parent,
    steps=(
        ("mvn", "-B", "-ntp", "-q", "compile"),
        ("mvn", "-B", "-ntp", "-q", "-DincludeScope=runtime", "-DoutputDirectory=target/libs", _LIBRARIES),
    ),
    tools={"java": _JDK, "javac": _JDK, "mvn": "apt-get install maven"},
)


def _enrich(order: str) -> Callable[[Say], Command]:
    def prepare(say: Say) -> Command:
        target = BUILD.folder(say) / "target"
        return Command(arguments=("java", "-cp", f"{target}/classes:{target}/libs/*", "Enrich", order))

    return prepare


_MADE_OF = "parallel-consumer-vertx 0.5.3.3, kafka-clients 3.9.1"
BY_KEY = Contender(
    key="parallel-consumer",
    name="parallel-consumer, by key",
    kind="peer",
    made_of=_MADE_OF,
    promises="at least once, order per key; acks=all, idempotent; linger 5 ms, lz4",
    prepare=_enrich("key"),
)
UNORDERED = Contender(
    key="parallel-consumer-unordered",
    name="parallel-consumer, unordered",
    kind="peer",
    made_of=_MADE_OF,
    promises="at least once, no order; acks=all, idempotent; linger 5 ms, lz4",
    prepare=_enrich("unordered"),
)
