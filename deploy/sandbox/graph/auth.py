"""Who is calling: access tokens, the proof that goes with them, and what a token may read."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from deploy.sandbox.graph.errors import Refusal, RefusedError, missing, refusal
from deploy.sandbox.graph.state import State

TokenKind = Literal["page", "user", "app"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The holder of a token. `page` is set for a page's token; `app_id` is the app it was issued to."""

    kind: TokenKind
    app_id: str
    page: int | None = None


@lru_cache(maxsize=65536)
def proof_of(token: str, secret: str) -> str:
    """appsecret_proof: hex HMAC-SHA256 of the token with the app secret (SDK session.py)."""
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


class Tokens:
    """Every token of the world and its state. `requires_proof` is the app's "Require App Secret" switch."""

    def __init__(self, state: State) -> None:
        self.requires_proof = False
        self._state = state
        self._pages: dict[str, tuple[int, int]] = {}
        self._known_pages = 0

    def caller(self, token: str | None, params: Mapping[str, str]) -> Caller:
        """The caller with this token; raises 104 without one, 190 for a dead or unknown one, 100 for a wrong proof."""
        if not token:
            raise RefusedError(refusal(104))
        app, foreign = self._state.world.app, self._state.world.foreign_app
        owner = foreign if token == foreign.token else app
        proof = params.get("appsecret_proof")
        if proof is None and self.requires_proof:
            raise RefusedError(_proof_refusal("API calls from the server require an appsecret_proof argument"))
        caller = self._holder(token)
        if proof is not None and not hmac.compare_digest(proof.encode(), proof_of(token, owner.secret).encode()):
            raise RefusedError(_proof_refusal("Invalid appsecret_proof provided in the API argument"))
        return caller

    def dead_subcode(self, page: int, generation: int) -> int | None:
        """The subcode of 190 that a page's token meets, None while it lives."""
        access = self._state.access(page)
        if generation != access.token_generation:
            return 460
        if access.token_subcode is None and 0 < access.expires_at <= self._state.now():
            return 463
        return access.token_subcode

    def page_of(self, token: str) -> tuple[int, int] | None:
        """`(page, generation)` of a page's token, dead or alive."""
        found = self._pages.get(token)
        if found is None:
            self._learn()
            found = self._pages.get(token)
        return found

    def name_of(self, token: str | None) -> str:
        """What the call log calls a token: never the token itself."""
        if not token:
            return "none"
        found = self.page_of(token)
        if found is not None:
            return f"page:{self._state.world.page(found[0]).page_id}#{found[1]}"
        world = self._state.world
        if token in (world.user_token(), world.user_token(1)):
            return "user"
        return "app" if token in (world.app.token, world.foreign_app.token) else "unknown"

    def app_of(self, token: str | None) -> str:
        """The id of the app a token was issued to; empty for no token of ours."""
        name, world = self.name_of(token), self._state.world
        if name in ("none", "unknown"):
            return ""
        return world.foreign_app.app_id if token == world.foreign_app.token else world.app.app_id

    def _holder(self, token: str) -> Caller:
        world = self._state.world
        found = self.page_of(token)
        if found is not None:
            page, generation = found
            subcode = self.dead_subcode(page, generation)
            if subcode is not None:
                raise RefusedError(refusal(190, subcode))
            return Caller(kind="page", app_id=world.app.app_id, page=page)
        if token in (world.user_token(), world.user_token(1)):
            return Caller(kind="user", app_id=world.app.app_id)
        for app in (world.app, world.foreign_app):
            if token == app.token:
                return Caller(kind="app", app_id=app.app_id)
        raise RefusedError(refusal(190))

    def _learn(self) -> None:
        world = self._state.world
        for page in range(self._known_pages, self._state.page_count):
            self._pages[world.page_token(page)] = (page, 0)
        self._known_pages = self._state.page_count
        for page, generation in self._state.replaced_tokens():
            for known in range(1, generation + 1):
                self._pages[world.page_token(page, known)] = (page, known)


def check_page_access(state: State, caller: Caller, page: int, object_id: str) -> None:
    """Raise what Graph answers when this caller may not read leads and forms of the page."""
    if caller.kind == "app" or (caller.kind == "page" and caller.page != page):
        raise missing(object_id)
    access = state.access(page)
    if "leads_retrieval" in (*access.missing_scopes, *access.elsewhere):
        raise RefusedError(refusal(200))
    refused_as = access.refused_as
    if refused_as == "100/33":
        raise missing(object_id)
    if refused_as is not None:
        raise RefusedError(refusal(int(refused_as)))


def _proof_refusal(message: str) -> Refusal:
    """The texts and the type are from live captures (README, "Grades")."""
    return Refusal(code=100, message=message, type="GraphMethodException")
