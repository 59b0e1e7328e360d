"""The JSON Schema of mapping files, and the examples: what editors let pass and mark, and what is read and refused."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

import schemas
from processors.mapping.avro import avro_schema
from processors.mapping.editing import editor_schema
from processors.mapping.reading import BadMapping, read_file
from processors.mapping.target import Target

SCHEMA = Path(str(files(schemas))) / "mapping.schema.json"
EXAMPLES = sorted((SCHEMA.parent / "examples/mapping").glob("*.yaml"))
PASS = [path for path in EXAMPLES if path.name.endswith(".pass.yaml")]
FAIL = [path for path in EXAMPLES if path.name.endswith(".fail.yaml")]
# What only a reader can tell: a schema knows neither an order of transforms nor that a name was there before.
ONLY_READ = {"too_late.fail.yaml", "twice.fail.yaml"}


def named(path: Path) -> str:
    return path.stem


def test_the_published_schema_is_that_of_the_grammar() -> None:
    """`leadstream mapping schema > schemas/mapping.schema.json` makes it so."""
    assert SCHEMA.read_text(encoding="utf-8") == editor_schema()


def test_there_are_examples_of_both_and_nothing_else() -> None:
    assert PASS
    assert FAIL
    assert len(PASS) + len(FAIL) == len(EXAMPLES)
    assert {path.name for path in FAIL} > ONLY_READ


@pytest.mark.parametrize("path", PASS, ids=named)
def test_an_example_that_passes_is_read_and_makes_a_topic_and_records(path: Path) -> None:
    mapping = read_file(path).mapping
    assert avro_schema(mapping)["name"] == mapping.target
    assert Target(mapping).mapping is mapping


@pytest.mark.parametrize("path", FAIL, ids=named)
def test_an_example_that_fails_is_refused_for_the_reason_in_its_first_line(path: Path) -> None:
    expected = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# expected: ")
    with pytest.raises(BadMapping) as refused:
        read_file(path, file="")
    [told] = str(refused.value).splitlines()
    assert told.removeprefix(":").startswith(expected)


# `Any`: the validator comes from a package that need not be there.
@pytest.fixture
def validator() -> Any:
    """The one that is closest to those of editors."""
    jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", PASS, ids=named)
def test_editors_let_pass_what_is_read(path: Path, validator: Any) -> None:
    assert [each.message for each in validator.iter_errors(as_editors_see(path))] == []


@pytest.mark.parametrize("path", FAIL, ids=named)
def test_editors_mark_what_is_refused(path: Path, validator: Any) -> None:
    assert validator.is_valid(as_editors_see(path)) == (path.name in ONLY_READ)


def as_editors_see(path: Path) -> Any:
    """By YAML's own types: an id is a number, `true` is a boolean; and every key is a text."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
