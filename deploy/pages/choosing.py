"""Which of a person's pages are to be added: what can be said of each, and what was chosen."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import typer

from ingest.health import Code, Finding, found
from ingest.health.wording import SCOPES
from ingest.meta.errors import GraphError
from ingest.meta.graph import Account, TokenFacts
from ingest.meta.pages import PageAccess

from .meta import Look
from .words import ends, explained, printable, wrong

_LASTS = 24 * 3600  # seconds; what a short-lived user token makes ends within two hours (n8n#23020)
_TASK = "ADVERTISE"  # Meta's quickstart for webhooks of lead ads
_NO_TASK = (
    f"The token's person lacks the task {_TASK} on it, without which Meta gives no lead: somebody with full control of"
    " the page gives it to them, in Business settings under Pages."
)

# Of what an examination finds. Whether a page is subscribed does not belong here: that is done next.
_KEEP_LEADS_BACK: frozenset[Code] = frozenset(
    {
        "capability-missing",
        "scope-missing",
        "scope-not-for-page",
        "data-access-expired",
        "page-not-visible",
        "permission-refused",
        "lead-access-denied",
        "leads-refused",
        "over-budget",
        "blocked",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A page that the token's person has. `refused` is why no token of it can be kept; else `look` is there."""

    account: Account
    look: Look | None
    refused: str | None
    readable: bool  # whether its leads could be read now, as far as can be said
    troubles: tuple[str, ...]  # why not, but for what is said of the token as a whole

    @property
    def page(self) -> PageAccess | None:
        """What is to be kept of it, if anything is."""
        return None if self.look is None or self.refused is not None else self.look.page


def candidate(account: Account, look: Look | None, *, lacks: Collection[str], now: float) -> Candidate:
    """What can be said of a page; `look` is None where its person may not have its token. `now` in unix seconds.

    `lacks` are the permissions that the person's own token lacks.
    """
    if look is None:
        why = "Meta gives this person no token of it: they need a role on the page, or to grant the app this page too"
        return Candidate(account=account, look=None, refused=why, readable=False, troubles=())
    refused = _refused(look, now)
    said = (*look.of_app, *look.findings)
    keeping = [each for each in said if each.code in _KEEP_LEADS_BACK and each.severity == "wrong"]
    has_task = account.tasks is None or _TASK in account.tasks
    troubles = [] if has_task else [_NO_TASK]
    return Candidate(
        account=account,
        look=look,
        refused=refused,
        readable=refused is None and has_task and not keeping,
        troubles=tuple(troubles + wrong(each for each in keeping if each.about not in lacks)),
    )


def lacking(token: TokenFacts) -> list[Finding]:
    """The permissions that a person's token lacks, and what that means for every page of theirs."""
    scopes = SCOPES if token.scopes is None else token.scopes
    return [found("scope-missing", f"The token lacks {scope}.", about=scope) for scope in SCOPES if scope not in scopes]


def rows(candidates: Sequence[Candidate]) -> list[tuple[str, ...]]:
    """A table of them, numbered from 1."""
    table: list[tuple[str, ...]] = [("", "page", "name", "token ends", "leads", "tasks")]
    for number, each in enumerate(candidates, 1):
        facts = each.look.facts if each.look is not None else None
        table.append(
            (
                str(number),
                each.account.page_id,
                printable(each.account.name or (each.look.name if each.look else None) or "-"),
                "-" if facts is None else ends(facts),
                "yes" if each.readable else "no",
                "-" if each.account.tasks is None else ", ".join(map(printable, sorted(each.account.tasks))),
            )
        )
    return table


def numbers(text: str, count: int) -> list[int]:
    """`1,3`, `2-4` or `all`, as places from 0 on; BadParameter where it is none of them."""
    if text.strip().lower() == "all":
        return list(range(count))
    chosen: list[int] = []
    for part in text.replace(",", " ").split():
        found = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= count:
            raise typer.BadParameter(f"{part} is no number from 1 to {count}; say 1,3 or 1-3 or all")
        chosen += range(first - 1, last)
    if not chosen:
        raise typer.BadParameter("say which, such as 1,3 or all")
    return sorted(set(chosen))


def _refused(look: Look, now: float) -> str | None:
    facts, page_id = look.facts, look.page.page_id
    if isinstance(look.seen.token, GraphError):
        return f"what its token is cannot be asked: {explained(look.seen.token)}"
    if facts is None or not facts.is_valid:
        return next(iter(wrong((*look.findings, *look.of_app))), "Meta does not say what its token is")
    if facts.kind != "PAGE" or facts.profile_id not in (None, page_id):
        return "what Meta gives for it is no token of this page"
    if facts.expires_at and facts.expires_at - now < _LASTS:
        return (
            "its token dies within a day, as what is made from a short-lived token does, and the page's leads would"
            " stop with it. Give a token of a user or of a system user, which can be exchanged for one that lasts"
        )
    return None
