"""A reconciliation in words: the verdict, each form in a row, and for what is not here why, and what to do. No I/O."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ingest.mending import Mended
from ingest.reconcile import FormReport, Kind

from .run import Report, Trouble

_COMING: Mapping[str, str] = {
    "fetch": "to be read by `leadstream work fetch`: does it run?",
    "retry": "waiting for the next try: `leadstream work retry` brings them back",
    "map": "to be read by `leadstream work map`: does it run?",
    "webhook": "given just now: their webhooks are on their way",
}
_SHOWN = 5  # pages that are named in a line
_MANY = 1_000  # leads, each of which is a call when it is fetched


def verdict(report: Report, *, sending: bool) -> str:
    """One line."""
    total = report.total
    if report.is_complete:
        erased = f", {total.number('erased')} of them erased since" if total.number("erased") else ""
        return f"Complete: every lead that Meta has is here, {total.at_meta} of {_forms(report)}{erased}."
    missing = total.number("missing")
    parts = [f"{total.had} of {total.at_meta} leads are here"]
    if any(each.reason == "no-pages" for each in report.troubles):
        parts = ["there is no page to look at"]
    elif report.troubles:
        pages = {each.page_id for each in report.troubles if each.page_id is not None}
        forms = sum(each.page_id is None for each in report.troubles)  # of no page that we know
        unread = " and ".join(
            f"{number} {what}{'s' if number > 1 else ''}"
            for number, what in ((len(pages), "page"), (forms, "form"))
            if number
        )
        parts.append(f"{unread} could not be read, where there may be more")
    if coming := total.number("coming"):
        parts.append(f"{coming} are coming by themselves, so look again later")
    if missing and not sending:
        parts.append(f"missing: {missing}. Nothing was sent: with --yes they are fetched")
    elif missing:
        parts.append(f"missing yet: {missing}. Nothing came any more: does `leadstream work fetch` run? Then once more")
    return f"Not complete: {'; '.join(parts)}."


def rows(report: Report) -> Iterator[tuple[str, ...]]:
    """The table: its head, each form, and all of them."""
    erased = bool(report.total.number("erased"))
    yield _row(("page", "form", "at Meta", "here", "erased", "recovered"), _LAST, erased=erased)
    for form in report.forms:
        yield _of_form(form.page_id, form.form_id, form, erased=erased)
    yield _of_form("all", _forms(report), report.total, erased=erased)


def reasons(report: Report, mended: Mended | None = None) -> Iterator[str]:
    """A line for each reason why something is not here, with what to do."""
    for trouble, number in Counter((each.page_id, each.reason) for each in report.troubles).items():
        yield _unread(*trouble, forms=[each.form_id for each in report.troubles if _is(each, trouble)], number=number)
    total = report.total
    if total.number("missing") >= _MANY:
        yield (
            f"missing     {total.number('missing')}: one by one they cost as many calls; `leadstream backfill` reads"
            " hundreds with each, and another reconciliation proves it"
        )
    for reason, number in total.why("coming").items():
        yield f"coming      {number} {_COMING.get(reason, reason)}"
    for reason, number in total.why("parked").items():
        pages = _pages_of(report, "parked", reason)
        yield (
            f"parked      {number} {reason}: they come by themselves once the access of {pages} is repaired;"
            " `leadstream doctor` says how"
        )
    for reason, number in total.why("dead").items():
        stage, word = ("map", reason.removeprefix("map ")) if reason.startswith("map ") else ("fetch", reason)
        yield (
            f"dead        {number} {word}: look with `leadstream dead list --stage {stage} --reason {word}`, then"
            f" `leadstream dead redrive --stage {stage} --reason {word} --yes`"
        )
    for reason, number in total.why("left out").items():
        yield f"left out    {number} by map ({reason.removeprefix('map ')}): `leadstream status` names them"
    if total.not_listed:
        yield (
            f"not listed  {total.not_listed} that Meta counts and gives no more, of which it says that {total.expired}"
            " have expired: they cannot be had"
        )
    if mended is not None:
        yield from _of_mended(mended)


def in_json(report: Report, *, sending: bool, mended: Mended | None = None) -> dict[str, object]:
    """All of it."""
    return {
        "run": report.run,
        "complete": report.is_complete,
        "verdict": verdict(report, sending=sending),
        "total": _form_in_json(report.total),
        "forms": [
            {"page_id": form.page_id, "form_id": form.form_id, **_form_in_json(form), "counters": _counters(form)}
            for form in report.forms
        ],
        "unread": [
            {"page_id": each.page_id, "form_id": each.form_id, "reason": each.reason} for each in report.troubles
        ],
        "mended": None
        if mended is None
        else {"leads": mended.leads, "gone": list(mended.gone), "left": list(mended.left)},
    }


def shown(completeness: float | None) -> str:
    """In percent; a form without a lead has none."""
    return "-" if completeness is None else f"{completeness:.2f} %"


_LAST = ("coming", "cannot be had", "missing", "not listed", "complete")


def _of_form(page: str, name: str, form: FormReport, *, erased: bool) -> tuple[str, ...]:
    first = (page, name, str(form.at_meta), str(form.number("here")), str(form.number("erased")), str(form.recovered))
    given_up = form.number("parked") + form.number("dead") + form.number("left out")
    last = (form.number("coming"), given_up, form.number("missing"), form.not_listed)
    return _row(first, (*map(str, last), shown(form.completeness)), erased=erased)


def _row(first: tuple[str, ...], last: tuple[str, ...], *, erased: bool) -> tuple[str, ...]:
    return (*(first if erased else (*first[:4], first[5])), *last)


def _form_in_json(form: FormReport) -> dict[str, object]:
    return {
        "at_meta": form.at_meta,
        "here": form.number("here"),
        "erased": form.number("erased"),
        "sent": form.sent,
        "recovered": form.recovered,
        "coming": form.why("coming"),
        "missing": form.number("missing"),
        "parked": form.why("parked"),
        "dead": form.why("dead"),
        "left_out": form.why("left out"),
        "not_listed": form.not_listed,
        "expired": form.expired,
        "completeness": form.completeness,
    }


def _counters(form: FormReport) -> dict[str, int | None] | None:
    if form.counters is None:
        return None
    counted = form.counters
    return {
        "leads_count": counted.leads,
        "organic_leads_count": counted.organic,
        "expired_leads_count": counted.expired,
    }


def _unread(page_id: str | None, reason: str, *, forms: Sequence[str | None], number: int) -> str:
    if reason == "no-pages":
        return "unread      nothing was read: META_PAGES_FILE has no page; `leadstream pages add` puts one there"
    if page_id is None:
        return (
            f"unread      form {forms[0]} ({reason}): no page in META_PAGES_FILE opens it; `leadstream pages list` has"
            " them all"
        )
    what = f"page {page_id}" if None in forms else f"{number} forms of page {page_id}"
    if reason == "no-token":
        return f"unread      {what}: META_PAGES_FILE has no token for it; `leadstream pages add` gets one"
    return f"unread      {what} ({reason}): `leadstream doctor --page {page_id}` says why, and what to do"


def _of_mended(mended: Mended) -> Iterator[str]:
    if mended.leads:
        yield f"mended      {mended.leads} leads have their richer record again, which a poorer one had replaced"
    if mended.gone or mended.left:
        some = (*mended.gone, *mended.left)
        yield (
            f"poorer      {len(some)} leads are here with less than there once was, as {some[0]}: Meta may have it yet,"
            f" `leadstream replay fetch --lead {some[0]} --yes`"
        )


def _pages_of(report: Report, kind: Kind, reason: str) -> str:
    pages = sorted({form.page_id for form in report.forms if reason in form.why(kind)})
    more = f" and {len(pages) - _SHOWN} more" if len(pages) > _SHOWN else ""
    return f"page{'s' if len(pages) > 1 else ''} {', '.join(pages[:_SHOWN])}{more}"


def _is(trouble: Trouble, of: tuple[str | None, str]) -> bool:
    return (trouble.page_id, trouble.reason) == of


def _forms(report: Report) -> str:
    return f"{len(report.forms)} form{'' if len(report.forms) == 1 else 's'}"
