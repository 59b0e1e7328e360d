"""What to ask about access itself, and how to read it: what a token is, may leads of a page be read. Performs no I/O.

An answer that does not say so clearly is None: whoever asked then knows as little as before.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from ingest.meta.errors import BadAsk
from ingest.meta.graph.answers import Answer
from ingest.meta.graph.asks import Ask, Key
from ingest.meta.graph.text import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What Meta says of a token; None where it does not say. Times are unix seconds, 0 for never.

    developers.facebook.com/docs/graph-api/reference/debug_token, and /docs/facebook-login/access-tokens/
    debugging-and-error-handling, which says that `issued_at` comes with long-lived tokens only.
    """

    is_valid: bool
    kind: str | None = None  # PAGE, USER, SYSTEM_USER, APP ...
    app_id: str | None = None
    profile_id: str | None = None  # the page, of a page's token
    issued_at: int | None = None
    expires_at: int | None = None
    data_access_expires_at: int | None = None
    scopes: frozenset[str] | None = None
    targets: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by scope that is not for everything: for what
    code: int | None = None  # why it is not valid, in Meta's numbers
    subcode: int | None = None

    def grants(self, scope: str, target_id: str) -> bool:
        """Whether it may do that to the target; so also where Meta does not say what it may do."""
        return (self.scopes is None or scope in self.scopes) and target_id in self.targets.get(scope, {target_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadAccess:
    """Whether leads of a page may be read by whoever asked, and Meta's own words why not (SDK hasleadaccess.py)."""

    can_access_lead: bool | None = None
    app_has_leads_permission: bool | None = None
    user_has_leads_permission: bool | None = None
    enabled_lead_access_manager: bool | None = None
    failure_reason: str | None = None
    failure_resolution: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageNode:
    """A page as its own token sees it."""

    name: str | None
    access: LeadAccess


def app_key(app_id: str, secret: SecretStr) -> Key:
    """An app's own token: developers.facebook.com/docs/facebook-login/guides/access-tokens."""
    return Key(token=SecretStr(f"{app_id}|{secret.get_secret_value()}"), secret=secret)


def ask_token(token: SecretStr) -> Ask:
    """Asks about a token, with an app's key: developers.facebook.com/docs/graph-api/reference/debug_token.

    The token is a parameter: ask in a batch, whose parameters travel in a body and not in a URL.
    """
    return Ask(path="debug_token", params=(("input_token", token.get_secret_value()),), about=None)


def read_token(answer: Answer) -> bool | None:
    """Whether the token opens anything now."""
    data = answer.parsed.get("data")
    said = data.get("is_valid") if isinstance(data, dict) else None
    return said if isinstance(said, bool) else None


def read_token_facts(answer: Answer) -> TokenFacts | None:
    """All that Meta says of the token; None where not even whether it is valid."""
    data, is_valid = answer.parsed.get("data"), read_token(answer)
    if not isinstance(data, dict) or is_valid is None:
        return None
    error = data.get("error")
    said = error if isinstance(error, dict) else {}
    scopes = data.get("scopes")
    return TokenFacts(
        is_valid=is_valid,
        kind=_text(data.get("type")),
        app_id=_id(data.get("app_id")),
        profile_id=_id(data.get("profile_id")),
        issued_at=_whole(data.get("issued_at")),
        expires_at=_whole(data.get("expires_at")),
        data_access_expires_at=_whole(data.get("data_access_expires_at")),
        scopes=frozenset(map(str, scopes)) if isinstance(scopes, list) else None,
        targets=_targets(data.get("granular_scopes")),
        code=_whole(said.get("code")),
        subcode=_whole(said.get("subcode")),
    )


def ask_lead_access(page_id: str) -> Ask:
    """Asks whether leads of a page may be read by whoever asks (SDK adobjects/hasleadaccess.py)."""
    if not re.fullmatch(r"[0-9]{1,32}", page_id):
        raise BadAsk("bad-id")
    return Ask(path=page_id, params=(("fields", "has_lead_access"),), about=None)


def read_lead_access(answer: Answer) -> bool | None:
    """Whether they may."""
    access = answer.parsed.get("has_lead_access")
    said = access.get("can_access_lead") if isinstance(access, dict) else None
    return said if isinstance(said, bool) else None


def ask_page_node(page_id: str) -> Ask:
    """The same, with the page's name; the answer is about this page or none."""
    return Ask(path=ask_lead_access(page_id).path, params=(("fields", "id,name,has_lead_access"),), about=page_id)


def read_page_node(answer: Answer) -> PageNode:
    """The page, and whether its leads may be read."""
    found = answer.parsed.get("has_lead_access")
    access = found if isinstance(found, dict) else {}
    return PageNode(
        name=_text(answer.parsed.get("name")),
        access=LeadAccess(
            can_access_lead=_flag(access, "can_access_lead"),
            app_has_leads_permission=_flag(access, "app_has_leads_permission"),
            user_has_leads_permission=_flag(access, "user_has_leads_permission"),
            enabled_lead_access_manager=_flag(access, "enabled_lead_access_manager"),
            failure_reason=_text(access.get("failure_reason")),
            failure_resolution=_text(access.get("failure_resolution")),
        ),
    )


def _targets(granular: Json) -> dict[str, frozenset[str]]:
    """A scope without `target_ids` is for everything its person has."""
    found: dict[str, frozenset[str]] = {}
    for each in granular if isinstance(granular, list) else ():
        scope, ids = (each.get("scope"), each.get("target_ids")) if isinstance(each, dict) else (None, None)
        if isinstance(scope, str) and isinstance(ids, list):
            found[scope] = frozenset(target for target in map(_id, ids) if target is not None)
    return found


def _flag(node: JsonObject, name: str) -> bool | None:
    said = node.get(name)
    return said if isinstance(said, bool) else None


def _text(said: Json) -> str | None:
    return said if isinstance(said, str) and said else None


def _id(said: Json) -> str | None:
    return str(said) if isinstance(said, str | int) and not isinstance(said, bool) and str(said).isdecimal() else None


def _whole(said: Json) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None
