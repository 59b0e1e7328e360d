"""The configuration of a JDBC sink, made from the file that users copy."""

import json
from collections.abc import Mapping
from pathlib import Path

_FILE = Path(__file__).with_name("postgres-sink.json")


def postgres_sink(*, topic: str, key: str, table: str | None = None, more: Mapping[str, str]) -> dict[str, str]:
    """What `PUT /connectors/NAME/config` takes: rows of `table`, else named after the topic, by `key`.

    `more` are other settings by Connect's own names; they win over the file's.
    """
    config: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return config | {
        "topics": topic,
        "collection.name.format": table or topic.replace(".", "_").replace("-", "_"),
        "primary.key.fields": key,
        "transforms.key.field": key,
        **more,
    }
