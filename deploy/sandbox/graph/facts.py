"""What happened to the world that the seed cannot know; a journal of these facts rebuilds the double after any crash.

Leads are made in runs, one fact for any number of them, so the journal stays small however many there are.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The first line: which world this is."""

    seed: int
    pages: int
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PagesAdded:
    """The next `count` pages exist, with their forms."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FormAdded:
    """A page got one more form, made from a template with `changes`."""

    form: int
    at: int
    page: int
    template: str
    changes: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormChanged:
    """Somebody edited a form: fields of its node from now on; earlier leads keep the answers they have."""

    form: int
    changes: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadsMade:
    """The next `count` leads of a form, submitted evenly between `start` and `end` (unix seconds)."""

    form: int
    count: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCrafted:
    """Lead `n` of a form (made by LeadsMade before) has these fields instead of invented ones; null removes one."""

    form: int
    n: int
    fields: Mapping[str, object]
    is_test: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadDeleted:
    """Lead `n` of a form is gone."""

    form: int
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenReplaced:
    """The page has its next token; the one before is dead."""

    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenMarked:
    """The page's token died with this subcode of error 190, or lives again (None)."""

    page: int
    subcode: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDescribed:
    """What debug_token says of the page's token: times in unix seconds (0: never, or the default), scopes it lacks.

    And scopes that it has for another page only.
    """

    page: int
    expires_at: int
    data_access_expires_at: int
    missing_scopes: Sequence[str]
    elsewhere: Sequence[str] = ()
    issued_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChanged:
    """The page's leads may not be read (`how` is the error shown, "100/33", "10" or "200") or may again (None)."""

    page: int
    how: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldsRestricted:
    """The page's token may not read these lead fields: asking meets `code`, or with `omit` they are left out."""

    page: int
    fields: Sequence[str]
    code: int
    omit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSubscribed:
    """What the app listens to on a page; empty when it is not installed there."""

    page: int
    fields: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSubscribed:
    """Where the app's webhooks go; `callback_url` None is no subscription."""

    callback_url: str | None
    fields: Sequence[str] = ()
    include_values: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSet:
    """The double's clock runs this many seconds ahead of the machine's."""

    ahead: float


Fact = (
    Began
    | PagesAdded
    | FormAdded
    | FormChanged
    | LeadsMade
    | LeadCrafted
    | LeadDeleted
    | TokenReplaced
    | TokenMarked
    | TokenDescribed
    | AccessChanged
    | FieldsRestricted
    | PageSubscribed
    | AppSubscribed
    | ClockSet
)
KINDS: dict[str, type[Fact]] = {kind.__name__: kind for kind in Fact.__args__}


def encode(fact: Fact) -> str:
    """One line of the journal."""
    return json.dumps({"fact": type(fact).__name__, **asdict(fact)}, separators=(",", ":"))


def decode(line: str) -> Fact:
    """The fact of a line."""
    fields = json.loads(line)
    return KINDS[fields.pop("fact")](**fields)
