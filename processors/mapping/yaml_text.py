"""YAML as mapping files are written in: every value is a text, and its line is known. Performs no I/O.

`no`, `0123` and `12_000` are what they look like, not false, 83 and 12000. Only what is empty, `null` or `~`
is nothing.
What makes a file hard to read (aliases, tags, one key twice, a second document) is refused, each with its line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Place = tuple[str | int, ...]
Flaw = tuple[int, Place, str]  # line, place and what is wrong there

MAX_SIZE = 1 << 20  # characters: a mapping file is read by people

_TAG = "tag:yaml.org,2002:"
_KNOWN = {f"{_TAG}{kind}" for kind in ("str", "null", "map", "seq")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What the text holds as dicts, lists, texts and None; the line of each place; what is wrong with the text."""

    data: object
    lines: Mapping[Place, int]
    flaws: tuple[Flaw, ...]


class _Loader(yaml.SafeLoader):
    """Resolves nothing but null, and notes aliases in place of following them."""

    yaml_implicit_resolvers = {  # noqa: RUF012  how PyYAML is told; this class is ours alone
        first: [(tag, pattern) for tag, pattern in resolvers if tag == f"{_TAG}null"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.aliases: list[int] = []

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            mark: yaml.error.Mark = self.get_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stub
            self.aliases.append(mark.line + 1)
            return ScalarNode(f"{_TAG}null", "", mark, mark)
        return super().compose_node(parent, index)


def parse(text: str) -> Parsed:
    """The text, read as far as it can be; with flaws, what was read is not all that was meant."""
    if len(text) > MAX_SIZE:
        return _nothing(0, f"is larger than {MAX_SIZE >> 20} MiB: a mapping file holds fields, not data")
    lines: dict[Place, int] = {(): 1}
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        flaws: list[Flaw] = [
            (line, (), "is an alias (*), which is not followed here: write it out") for line in loader.aliases
        ]
        data = None if root is None else _read(root, (), lines, flaws)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"{error.context}, {error.problem}" if error.context and error.problem else error.problem
        return _nothing(mark.line + 1 if mark else 0, f"is no YAML: {what or error.context} (does a text want quotes?)")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return _nothing(line, f"holds a character that YAML does not allow (#x{error.character:04x})")
    except ValueError:  # of chr(), which PyYAML lets through
        return _nothing(loader.line + 1, "has an escape, such as \\U00110000, that is no character")
    except RecursionError:
        return _nothing(0, "is nested too deep")
    return Parsed(data=data, lines=lines, flaws=tuple(flaws))


def _nothing(line: int, what: str) -> Parsed:
    return Parsed(data=None, lines={(): 1}, flaws=((line, (), what),))


def _read(node: Node, path: Place, lines: dict[Place, int], flaws: list[Flaw]) -> object:
    lines.setdefault(path, node.start_mark.line + 1)
    if node.tag not in _KNOWN:
        tag = node.tag.replace(_TAG, "!!")
        flaws.append((node.start_mark.line + 1, path, f"has the tag {tag}: leave it out, values are texts here"))
    match node:
        case ScalarNode():
            return None if node.tag == f"{_TAG}null" else str(node.value)
        case SequenceNode():
            return [_read(entry, (*path, place), lines, flaws) for place, entry in enumerate(node.value)]
        case MappingNode():
            return {key: _read(value, (*path, key), lines, flaws) for key, value in _entries(node, path, lines, flaws)}
        case _:
            raise AssertionError(f"YAML has no other node: {node.tag}")


def _entries(node: MappingNode, path: Place, lines: dict[Place, int], flaws: list[Flaw]) -> Iterator[tuple[str, Node]]:
    """Each key with its value; a key is what is written, `true` and `null` too."""
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            flaws.append((line, path, "has a list or a mapping as a key: a key is a text"))
        elif key.value in seen:
            flaws.append((line, (*path, key.value), f"is there twice: first in line {seen[key.value]}"))
        else:
            seen[key.value] = lines[*path, key.value] = line
            yield key.value, value
