"""The JSON Schema that editors complete mapping files by, made from their grammar. Performs no I/O."""

import json
import re
from typing import Any

from processors.mapping.file import Mapping

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# An editor takes 0123 for a number and true for a boolean, where we read what is written.
_TEXT = ["string", "number", "boolean"]


def editor_schema() -> str:
    """The schema as JSON text: `leadstream mapping schema` prints it, and `schemas/mapping.schema.json` is it."""
    made = {"$schema": _DIALECT, "title": "A leadstream mapping file", **_as_editors_read(Mapping.model_json_schema())}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


# `Any`: a schema is what JSON is.
def _as_editors_read(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_editors_read(each) for each in node]
    if not isinstance(node, dict):
        return node
    # Without the titles, which say a name again.
    read = {name: _as_editors_read(part) for name, part in node.items() if name != "title" or isinstance(part, dict)}
    if node.get("type") == "string" and "enum" not in node and re.search(node.get("pattern", ""), "1"):
        read["type"] = _TEXT
    if isinstance(node.get("patternProperties"), dict):
        read["additionalProperties"] = False
    return read
