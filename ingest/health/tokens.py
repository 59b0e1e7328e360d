"""Findings about a page's token, from what Meta says of it. Performs no I/O; times are unix seconds, 0 for never."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from ingest.health.finding import Code, Finding
from ingest.health.wording import SCOPES, found
from ingest.meta.graph import TokenFacts
from ingest.meta.pages import PageAccess

_DAY = 86_400
# By the subcode of error 190: developers.facebook.com/docs/graph-api/guides/error-handling
_DEAD: Mapping[int | None, tuple[Code, str]] = {
    458: ("token-app-removed", "its person has removed the app"),
    459: ("token-checkpointed", "its person has to log in and pass a check"),
    460: ("token-password-changed", "its person has changed the password, or Meta has ended the session"),
    463: ("token-expired", "it has expired"),
    464: ("token-unconfirmed", "its person's account is not confirmed"),
    467: ("token-logged-out", "its person has logged out, or the session is invalid"),
    492: ("token-role-lost", "its person has no role on the page any more"),
}
_KINDS = {"USER": "a person's token", "SYSTEM_USER": "a system user's token", "APP": "an app's token"}


def judge_token(page: PageAccess, token: TokenFacts, *, now: float, alarm_days: float) -> Iterator[Finding]:
    """Whose it is, whether it is valid, until when, and what it may do; of one that is dead or strange only that."""
    page_id, app_id = page.page_id, page.app_id
    if token.app_id is not None and token.app_id != app_id:
        what = f"The token is of app {token.app_id}, and META_PAGES_FILE says {app_id}."
        yield found("token-of-another-app", what, page_id=page_id)
        return
    if not token.is_valid:
        has_expired = token.subcode is None and token.expires_at and token.expires_at <= now
        code, why = dead(463 if has_expired else token.subcode)
        number = "" if token.subcode is None else f" (190/{token.subcode})"
        yield found(code, f"The token is dead: {why}{number}.", page_id=page_id)
        return
    if token.profile_id is not None and token.profile_id != page_id:
        what = f"The token is that of page {token.profile_id}, not of this one."
        yield found("token-of-another-page", what, page_id=page_id)
        return
    kind = _KINDS.get(token.kind or "")
    if kind is not None:
        yield found("token-not-a-pages", f"The token is {kind}, not the page's own.", page_id=page_id)
    yield from _judge_times(page_id, token, now=now, alarm_days=alarm_days)
    yield from _judge_scopes(page_id, token)


def _judge_times(page_id: str, token: TokenFacts, *, now: float, alarm_days: float) -> Iterator[Finding]:
    ends, data_ends = token.expires_at, token.data_access_expires_at
    kind = _KINDS.get(token.kind or "", "a page's token")
    if ends and _is_short_lived(token):
        yield found("token-short-lived", f"The token expires {_when(ends, now)}.", page_id=page_id)
    elif ends and ends - now <= alarm_days * _DAY:
        yield found("token-expires", f"The token expires {_when(ends, now)}.", page_id=page_id)
    else:
        if token.kind == "PAGE" and ends == 0:
            kind += " made from a long-lived one"
        lives = f"until {_when(ends, now)}" if ends else "and does not expire" if ends == 0 else "now"
        yield found("token-lives", f"The token is {kind}, valid {lives}.", page_id=page_id)
    if not data_ends:
        return
    if data_ends <= now:
        what = f"The app's access to data of the token's person ended {_when(data_ends, now)}."
        yield found("data-access-expired", what, page_id=page_id)
    elif data_ends - now <= alarm_days * _DAY:
        what = f"The app's access to data of the token's person ends {_when(data_ends, now)}."
        yield found("data-access-expires", what, page_id=page_id)


def _judge_scopes(page_id: str, token: TokenFacts) -> Iterator[Finding]:
    if token.scopes is None:
        return
    missing = [scope for scope in SCOPES if scope not in token.scopes]
    # What ads_management is granted for are ad accounts.
    of_pages = [scope for scope in SCOPES if scope not in (*missing, "ads_management")]
    elsewhere = [scope for scope in of_pages if not token.grants(scope, page_id)]
    for scope in missing:
        yield found("scope-missing", f"The token lacks {scope}.", page_id=page_id, about=scope)
    for scope in elsewhere:
        what = f"{scope} was granted for other pages, and not for this one."
        yield found("scope-not-for-page", what, page_id=page_id, about=scope)
    if not missing and not elsewhere:
        yield found("scopes-granted", "Every permission that lead ads need is granted.", page_id=page_id)


def dead(subcode: int | None) -> tuple[Code, str]:
    """Why a token is, by the subcode of error 190."""
    return _DEAD.get(subcode, ("token-invalid", "Meta does not know it, or does not say why"))


def _is_short_lived(token: TokenFacts) -> bool:
    """A page's token that expires within hours of its making; Meta gives no `issued_at` with short-lived ones."""
    return token.issued_at is None or (token.expires_at or 0) - token.issued_at < _DAY


def _when(at: int, now: float) -> str:
    days = (at - now) / _DAY
    hours = max(1, round(abs(days) * 24))
    near = f"{abs(days):.0f} days" if hours >= 48 else f"{hours} hour{'' if hours == 1 else 's'}"  # noqa: PLR2004  as said
    told = f"in {near}" if days > 0 else f"{near} ago"
    return f"on {_day(at)} ({told})"


def _day(at: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at, tz=UTC):%Y-%m-%d %H:%M} UTC"
    except (OverflowError, ValueError, OSError):
        return "a day beyond every calendar"
