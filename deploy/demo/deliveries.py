"""Ten POSTs as they reach a leadgen callback in real life, and what has to become of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from deploy.sandbox.graph.admin import GraphAdmin
from deploy.sandbox.graph.shapes import CraftedKind, How

Kind = Literal["waiting", "lead", "duplicate", "skipped", "dead", "kept"]
"""What becomes of one change: a lead, nothing (and why), or, as it names none, a record kept on a topic of its own."""

HISTORY = 14
"""Leads that each form of the double has before: so many that the next one is organic and those after it are not."""

_GIVE_UP = 10.0  # seconds; the door answers within 6 even when Kafka is down
_BATCH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How the door answered a POST, and the leads it was about, each once."""

    status: str
    leads: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`expected` is how many of its changes become what; empty where the door has to refuse it."""

    title: str
    why: str
    status: str
    expected: Mapping[Kind, int]
    send: Callable[[GraphAdmin, str], Answered]


def ten(forms: Mapping[str, str]) -> Sequence[Delivery]:
    """The ten, in the order in which they are sent. `forms` are form ids by the double's name of their template."""

    def announced(leads: int, *templates: str, **how: Unpack[How]) -> Callable[[GraphAdmin, str], Answered]:
        return _announced(leads, how | {"forms": [forms[name] for name in templates]})

    def crafted(kind: CraftedKind, template: str = "test_drive") -> Callable[[GraphAdmin, str], Answered]:
        return _crafted(kind, forms[template])

    return (
        Delivery(
            title="a lead deleted before it can be fetched",
            why="parked until its page is seen to be readable: only then is it gone",
            status="200",
            expected={"dead": 1},
            send=crafted("deleted_lead", "b2b"),
        ),
        Delivery(
            title="one organic lead, ids as numbers beyond 2^53",
            why="as a floating point number it would be another id",
            status="200",
            expected={"lead": 1},
            send=announced(1, "homes_india", ids="integer", ads="zero"),
        ),
        Delivery(
            title=f"{_BATCH} leads of three pages in one POST",
            why="Meta sends up to 1000; each page has its own token",
            status="200",
            expected={"lead": _BATCH},
            send=announced(
                _BATCH, "test_drive", "solar", "loans_latam", changes_per_post=_BATCH, pages_per_post=3, ids="mixed"
            ),
        ),
        Delivery(
            title="one lead, announced twice",
            why="Meta repeats itself; the second time costs no call",
            status="200",
            expected={"lead": 1, "duplicate": 1},
            send=announced(1, "insurance_brazil", changes_per_post=2, duplicates=1.0),
        ),
        Delivery(
            title="one unreadable change among three good ones",
            why="refusing it would cost the three",
            status="200",
            expected={"lead": 3, "dead": 1},
            send=crafted("one_bad_change", "newsletter"),
        ),
        Delivery(
            title="the Test button of Meta's dashboard",
            why="its lead 444444444444 does not exist; Meta is not asked",
            status="200",
            expected={"skipped": 2},
            send=crafted("dashboard_sample"),
        ),
        Delivery(
            title="a leadgen_update",
            why="it names a lead and is none",
            status="200",
            expected={"kept": 1},
            send=crafted("leadgen_update"),
        ),
        Delivery(
            title="a change of another field (feed)",
            why="one callback serves all fields of an app",
            status="200",
            expected={"kept": 1},
            send=crafted("other_field"),
        ),
        Delivery(
            title="names of fields, without their values",
            why="include_values is off at Meta: an alarm",
            status="200",
            expected={"kept": 1},
            send=crafted("changed_fields"),
        ),
        Delivery(
            title="a lead without a signature",
            why="anybody can post; nothing of it reaches Kafka",
            status="401",
            expected={},
            send=crafted("unsigned"),
        ),
    )


def _announced(leads: int, how: How) -> Callable[[GraphAdmin, str], Answered]:
    insisting: How = {**how, "give_up": _GIVE_UP}

    def send(graph: GraphAdmin, url: str) -> Answered:
        job = graph.deliver(url, leads, **insisting).job
        graph.wait(job)
        [post] = graph.posts(job)
        return Answered(status=post.statuses[-1], leads=tuple(sorted(set(post.leads))))

    return send


def _crafted(kind: CraftedKind, form: str) -> Callable[[GraphAdmin, str], Answered]:
    def send(graph: GraphAdmin, url: str) -> Answered:
        sent = graph.send(url, kind, form=form)
        return Answered(status=sent.status, leads=tuple(sent.leads))

    return send
