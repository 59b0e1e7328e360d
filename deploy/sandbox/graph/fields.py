"""The `fields` parameter: what was asked for, and the part of a node that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from deploy.sandbox.graph.errors import RefusedError, bad_parameter, refusal, unknown_field


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One requested field: `has_lead_access.user_id(7){can_access_lead}` has arguments and inner fields."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()
    inner: tuple["Field", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """Fields a token may not read: asking for one is refused with `code`, or with `omit` it is just not there."""

    fields: frozenset[str] = frozenset()
    code: int = 100
    omit: bool = False

    def refuse(self, name: str, node_type: str) -> None:
        """Raise what asking for a hidden field meets, if anything."""
        if self.omit:
            return
        if self.code == 100:  # noqa: PLR2004 - the code of a field that does not exist
            raise unknown_field(name, node_type)
        raise RefusedError(refusal(self.code))


NOTHING_HIDDEN = Hidden()


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> tuple[Field, ...]:
    """The fields of a comma-separated list with Graph's nesting; raises #100 for text that is none."""
    fields, rest = _fields(text.replace(" ", ""))
    if rest:
        raise bad_parameter(f"Syntax error \"Expected end of string instead of '{rest[0]}'.\" in fields")
    return fields


def _fields(text: str) -> tuple[tuple[Field, ...], str]:
    found: list[Field] = []
    while text and text[0] != "}":
        end = next((place for place, char in enumerate(text) if char in ",{}.("), len(text))
        name, text = text[:end], text[end:]
        arguments: list[tuple[str, str]] = []
        while text.startswith("."):
            key, _, tail = text[1:].partition("(")
            value, closing, text = tail.partition(")")
            if not closing:
                raise bad_parameter('Syntax error "Expected ) in fields"')
            arguments.append((key, value))
        inner: tuple[Field, ...] = ()
        if text.startswith("{"):
            inner, text = _fields(text[1:])
            if not text.startswith("}"):
                raise bad_parameter('Syntax error "Expected } in fields"')
            text = text[1:]
        if name:
            found.append(Field(name=name, arguments=tuple(arguments), inner=inner))
        if text.startswith(","):
            text = text[1:]
        elif text and text[0] != "}":
            return tuple(found), text
    return tuple(found), text


def select(
    node: Mapping[str, object],
    asked: str | None,
    *,
    allowed: frozenset[str],
    node_type: str,
    defaults: Sequence[str],
    hidden: Hidden = NOTHING_HIDDEN,
) -> dict[str, object]:
    """The asked fields of `node`, in the order asked, and always its id.

    A field that is not `allowed` fails the whole request with #100. A field without a value is left out, as at Meta.
    """
    fields = parse_fields(asked) if asked else tuple(Field(name=name) for name in defaults if name not in hidden.fields)
    answer: dict[str, object] = {}
    for field in fields:
        name = field.name
        if name not in allowed:
            raise unknown_field(name, node_type)
        if name in hidden.fields:
            hidden.refuse(name, node_type)
        elif name in node:
            answer[name] = _narrow(node[name], field.inner)
    answer.setdefault("id", node["id"])
    return answer


def _narrow(value: object, inner: tuple[Field, ...]) -> object:
    if not inner:
        return value
    if isinstance(value, Mapping):
        return {f.name: _narrow(value[f.name], f.inner) for f in inner if f.name in value}
    if isinstance(value, list):
        return [_narrow(item, inner) for item in value]
    return value
