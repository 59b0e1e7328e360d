"""Calls about tokens: what one is good for, and how a longer-lived one is got."""

from collections.abc import Mapping

from deploy.sandbox.graph.auth import Caller, Tokens
from deploy.sandbox.graph.errors import Refusal, RefusedError, bad_parameter, refusal
from deploy.sandbox.graph.state import State

SCOPES = (
    "ads_management",
    "business_management",
    "leads_retrieval",
    "pages_manage_ads",
    "pages_manage_metadata",
    "pages_read_engagement",
    "pages_show_list",
)
DAY = 24 * 3600
OTHER_PAGE = "100000000000001"
"""Not of this world: what a scope was granted for that was not granted for the page."""


def debug_token(state: State, tokens: Tokens, caller: Caller, params: Mapping[str, str]) -> dict[str, object]:
    """What a token is good for, to the app and to the user, who develops it. An `expires_at` of 0 is never."""
    if caller.kind == "page":
        raise bad_parameter(
            "You must provide an app access token, or a user access token that is an owner or developer of the app"
        )
    asked, app = params.get("input_token", ""), state.world.app
    data: dict[str, object] = {"app_id": app.app_id, "application": app.name}
    found = tokens.page_of(asked)
    if found is not None:
        page, generation = found
        access = state.access(page)
        page_id = state.world.page(page).page_id
        scopes = [scope for scope in SCOPES if scope not in access.missing_scopes]
        data |= {
            "type": "PAGE",
            "profile_id": page_id,
            "is_valid": True,
            "issued_at": access.issued_at or state.began_at - 30 * DAY,
            "expires_at": access.expires_at,
            "data_access_expires_at": access.data_access_expires_at or state.began_at + 60 * DAY,
            "scopes": scopes,
            "granular_scopes": [
                {"scope": scope, "target_ids": [OTHER_PAGE if scope in access.elsewhere else page_id]}
                for scope in scopes
                if scope.startswith(("leads", "pages"))
            ],
        }
        subcode = tokens.dead_subcode(page, generation)
        if subcode is not None:
            text = refusal(190, subcode).message
            data |= {"is_valid": False, "error": {"code": 190, "message": text, "subcode": subcode}}
    elif asked in (state.world.user_token(), state.world.user_token(1)):
        long_lived = asked == state.world.user_token(1)
        data |= {
            "type": "SYSTEM_USER" if long_lived else "USER",
            "is_valid": True,
            "issued_at": state.began_at - DAY,
            "expires_at": 0 if long_lived else state.began_at + 3600,
            "data_access_expires_at": state.began_at + 60 * DAY,
            "scopes": list(SCOPES),
            "user_id": state.world.user_id,
        }
    elif asked == app.token:
        data |= {"type": "APP", "is_valid": True, "scopes": []}
    else:
        data = {"is_valid": False, "scopes": [], "error": {"code": 190, "message": refusal(190).message}}
    return {"data": data}


def exchange_token(state: State, params: Mapping[str, str]) -> dict[str, object]:
    """`/oauth/access_token`: the app's own token, or a long-lived one for a user's (needs no token of its own)."""
    app = state.world.app
    if params.get("client_id") != app.app_id or params.get("client_secret") != app.secret:
        raise RefusedError(Refusal(code=1, message="Error validating client secret."))
    if params.get("grant_type") == "client_credentials":
        return {"access_token": app.token, "token_type": "bearer"}
    if params.get("grant_type") == "fb_exchange_token":
        if params.get("fb_exchange_token") not in (state.world.user_token(), state.world.user_token(1)):
            raise RefusedError(refusal(190))
        return {"access_token": state.world.user_token(1), "token_type": "bearer", "expires_in": 60 * DAY}
    raise bad_parameter("Invalid grant_type: ")
