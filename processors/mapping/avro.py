"""The Avro schema of a target's records, made from its mapping file alone. Performs no I/O."""

from processors.mapping.file import UNMAPPED, Mapping, Type
from schemas import Schema

NAMESPACE = "leadstream.crm"

_TYPES: dict[Type, object] = {
    "string": "string",
    "boolean": "boolean",
    "int": "int",
    "long": "long",
    "float": "float",
    "double": "double",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-millis"},
    "strings": {"type": "array", "items": "string"},
}


def avro_schema(mapping: Mapping) -> Schema:
    """A flat record: the key, then the file's fields in their order, each null where there is nothing, then `unmapped`.

    Every field but the key has a default, so that fields can be added and removed and old and new readers go on.
    """
    return {
        "type": "record",
        "name": mapping.target,
        "namespace": NAMESPACE,
        "doc": mapping.doc,
        "fields": [
            {"name": mapping.key, "type": "string", "doc": "Meta's id of the lead."},
            *(_nullable(name, _TYPES[field.type], field.doc) for name, field in mapping.fields.items()),
            _nullable(UNMAPPED, "string", "What no field took, as JSON text: answers and disclaimers by their keys."),
        ],
    }


def _nullable(name: str, type_: object, doc: str) -> dict[str, object]:
    return {"name": name, "type": ["null", type_], "default": None, "doc": doc}
