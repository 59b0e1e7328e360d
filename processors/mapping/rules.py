"""What a mapping file may not say though its grammar allows it. Performs no I/O."""

from collections.abc import Iterator

from processors.mapping.file import UNMAPPED, Mapping
from processors.mapping.yaml_text import Path

Broken = tuple[Path, str]  # where, and what is wrong there


def broken_rules(mapping: Mapping) -> Iterator[Broken]:
    """Everything that is wrong with a mapping that its grammar lets pass."""
    yield from _names(mapping)


def _names(mapping: Mapping) -> Iterator[Broken]:
    taken = {mapping.key.casefold(): f"the key, {mapping.key}", UNMAPPED: f"{UNMAPPED}, which keeps what no field took"}
    if mapping.key.casefold() == UNMAPPED:
        yield ("key",), f"{UNMAPPED} is the field that keeps what no field took: choose another name"
    for name in mapping.fields:
        other = taken.get(name.casefold())
        if other:
            yield ("fields", name), f"is named like {other}: choose another name"
        taken.setdefault(name.casefold(), f"the field {name}")
