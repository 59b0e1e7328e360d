"""The account in words: the verdict, and what to do where it does not hold. Performs no I/O."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from ingest.records import LEADS, RAW

from .counting import Account, LostRecord
from .judging import Kind
from .positions import PROGRAMS
from .targets import MapKind

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def verdict(account: Account) -> str:
    """One line where the account holds, else what is lost, where, and what to do."""
    if account.holds:
        total = sum(account.total.values())
        return f"Every acknowledged lead is accounted for: {total} = {_sum(account.total)}."
    return "\n".join(_alarms(account))


def counted(counts: Mapping[Kind, int] | Mapping[MapKind, int]) -> str:
    """Each kind that there is, with its number."""
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)


def ago(at: int, now: int) -> str:
    """How long ago, roughly; unix milliseconds."""
    seconds = max(0, now - at) // 1000
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds // length} {unit}{'s' if seconds >= 2 * length else ''}"
    return "a moment"


def moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sum(counts: Mapping[Kind, int]) -> str:
    return " + ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "nothing yet"


def _alarms(account: Account) -> Iterable[str]:
    examples = account.lost.examples
    fetched = [each for each in examples if each.stage == "fetch"]
    of_pages = {page: counts["lost"] for page, counts in account.pages.items() if counts.get("lost")}
    if of_pages:
        [page, *others] = sorted(of_pages, key=lambda page: -of_pages[page])
        more = f" and {len(others)} other page{'s' if len(others) > 1 else ''}" if others else ""
        since = min((each.acknowledged for each in fetched), default=account.now)
        yield (
            f"LOST: {sum(of_pages.values())} acknowledged records of page {page}{more} were passed over and nothing"
            f" tells what became of them, as {_named(fetched)}. Meta may still have them: `leadstream replay fetch"
            f" --page {page} --since {moment(since)} --yes`"
        )
    if account.door.get("lost"):
        letters = [each for each in fetched if not each.at.startswith(RAW)]
        yield (
            f"LOST: {account.door['lost']} dead letters of the door were sent back and nothing tells what became of"
            f" them, as {_named(letters)}. Their bytes are there: `leadstream dead show {letters[0].at[5:]}`"
        )
    for target, counts in account.targets.items():
        if counts.get("lost"):
            missing = [each for each in examples if each.target == target]
            yield (
                f"LOST: {counts['lost']} leads were passed over on their way to {target}, as {_named(missing)}. Their"
                f" answers are there: `leadstream replay map --lead {missing[0].lead_id} --yes`, or all of them by"
                " `replay map --to`"
                + ("; where no mapping file makes that topic any more, delete it" if target != LEADS else "")
            )
    for group, lag in account.lags.items():
        if lag.expired:
            yield (
                f"EXPIRED: {lag.expired} records were deleted by their topic's retention before `{PROGRAMS[group]}` had"
                f" read them. What of raw is gone, Meta may still have; `leadstream replay {group}` lets the worker go"
                " on"
            )


def _named(examples: Iterable[LostRecord]) -> str:
    return ", ".join(f"{each.at} (lead {each.lead_id or 'unreadable'})" for each in examples)
