"""`connect config`: the file that users copy, with a target's topic, table, key and connection put in."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import deploy.connect
from deploy.connect.cli import connect
from deploy.connect.sink import postgres_sink

COPIED = json.loads(Path(deploy.connect.__file__).with_name("postgres-sink.json").read_text(encoding="utf-8"))
MAPPING = """\
target: sales
version: 2
owner: the tests
doc: Leads for the table.
key: lead
fields:
  name:
    doc: Who it is.
    from: [{standard: full_name}]
"""


def config(folder: Path, text: str = MAPPING, *more: str) -> Result:
    (folder / "sales.yaml").write_text(text)
    asked = {
        "--database": "jdbc:postgresql://db:5432/crm",
        "--user": "writer",
        "--password-file": "/run/secrets/pg/crm",
        "--registry": "http://registry:8080/apis/registry/v2",
    }
    options = [word for option in asked.items() for word in option]
    return CliRunner().invoke(connect, ["config", str(folder / "sales.yaml"), *options, *more])


def test_a_mapping_file_gives_topic_table_and_key_and_the_rest_is_as_in_the_file_to_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOPIC_PREFIX", raising=False)
    result = config(tmp_path)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == COPIED | {
        "topics": "leads.crm.sales.v2",
        "collection.name.format": "leads_crm_sales_v2",
        "primary.key.fields": "lead",
        "transforms.key.field": "lead",
        "connection.url": "jdbc:postgresql://db:5432/crm",
        "connection.username": "writer",
        "connection.password": "${file:/run/secrets/pg:crm}",
        "value.converter.apicurio.registry.url": "http://registry:8080/apis/registry/v2",
    }


def test_a_prefix_and_a_table_are_put_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPIC_PREFIX", "test.")
    made = json.loads(config(tmp_path, MAPPING, "--table", "crm.leads").stdout)
    assert (made["topics"], made["collection.name.format"]) == ("test.leads.crm.sales.v2", "crm.leads")


def test_a_broken_mapping_file_is_told_with_its_line(tmp_path: Path) -> None:
    result = config(tmp_path, MAPPING.replace("owner: the tests\n", ""))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "sales.yaml" in result.stderr
    assert "owner" in result.stderr


def test_the_file_to_copy_is_what_the_command_makes_of_its_own_topic() -> None:
    assert postgres_sink(topic=COPIED["topics"], key="lead_id", more={}) == COPIED


def test_a_sink_keeps_what_it_promises() -> None:
    """Rows by the lead's id, deletions, columns that grow, and no record passed in silence."""
    promised = {
        "insert.mode": "upsert",
        "delete.enabled": "true",
        "primary.key.mode": "record_key",
        "schema.evolution": "basic",
        "errors.tolerance": "none",
    }
    assert promised.items() <= COPIED.items()
