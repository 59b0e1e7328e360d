"""Every refusal of Graph that matters to leads, as the envelope and the HTTP status it comes with.

Throttling comes as HTTP 400, never 429, and without Retry-After. Callers decide by code and subcode; the texts are
Meta's where one is published, else in its manner (README, "Grades").
"""

import json
import secrets
from dataclasses import dataclass

THROTTLING = frozenset({4, 17, 32, 613, *range(80000, 80015)})
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What Graph says no with. `code` and `subcode` decide, `transient` is Meta's `is_transient`."""

    code: int
    message: str
    status: int = 400
    type: str = "OAuthException"
    subcode: int | None = None
    transient: bool | None = None
    user_title: str | None = None
    user_message: str | None = None

    def body(self) -> str:
        """The JSON text of the envelope, with a trace id of its own."""
        error: dict[str, object] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.transient is not None:
            error["is_transient"] = self.transient
        if self.user_title is not None:
            error["error_user_title"] = self.user_title
        if self.user_message is not None:
            error["error_user_msg"] = self.user_message
        error["fbtrace_id"] = "A" + secrets.token_urlsafe(16)
        return json.dumps({"error": error}, separators=(",", ":")).replace("/", "\\/")


class RefusedError(Exception):
    """Raised by what answers a call; carries the refusal to the one place that writes it out."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code, refusal.subcode)
        self.refusal = refusal


def _limit(code: int, message: str, subcode: int | None = None) -> Refusal:
    return Refusal(code=code, subcode=subcode, message=message, transient=code == 4)  # noqa: PLR2004 - the app limit


def _token(subcode: int | None, message: str) -> Refusal:
    return Refusal(code=190, subcode=subcode, message=message)


_TOO_MANY = "There have been too many {} calls to this {} account. Wait a bit and try again. For more info, please refer to https://developers.facebook.com/docs/graph-api/overview/rate-limiting."
_KNOWN: tuple[Refusal, ...] = (
    Refusal(code=1, message="An unknown error occurred", status=500, transient=False),
    Refusal(code=1, subcode=99, message="Please reduce the amount of data you're asking for, then retry your request", status=500),
    Refusal(code=2, message="An unexpected error has occurred. Please retry your request later.", status=500, transient=True),
    Refusal(code=3, message="(#3) Application does not have the capability to make this API call.", status=403),
    _limit(4, "(#4) Application request limit reached"),
    Refusal(code=10, message="(#10) This endpoint requires the 'leads_retrieval' permission or the app lacks access to leads of this page", status=403),
    _limit(17, "(#17) User request limit reached"),
    _limit(17, "User request limit reached", 2446079),
    _limit(32, "(#32) Page request limit reached"),
    Refusal(code=100, message="(#100) Invalid parameter"),
    Refusal(code=100, subcode=33, type="GraphMethodException", message="Unsupported get request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api"),
    Refusal(code=102, message="Session key invalid or no longer valid", status=401),
    Refusal(code=104, message="An access token is required to request this resource."),
    Refusal(code=105, message="(#105) The number of parameters exceeded the maximum for this operation"),
    _token(None, "Invalid OAuth access token - Cannot parse access token"),
    _token(458, "Error validating access token: The user has not authorized application."),
    _token(459, "Error validating access token: You cannot access the app till you log in to www.facebook.com and follow the instructions given."),
    _token(460, "Error validating access token: The session has been invalidated because the user changed their password or Facebook has changed the session for security reasons."),
    _token(463, "Error validating access token: Session has expired."),
    _token(464, "Error validating access token: Sessions for the user are not allowed because the user is not a confirmed user."),
    _token(467, "Error validating access token: This may be because the user logged out or may be due to a system error."),
    _token(492, "Error validating access token: The session user is not an administrator of the page."),
    Refusal(code=192, message="(#192) Page lead form is invalid"),
    Refusal(code=200, message="(#200) Requires pages_manage_ads, leads_retrieval or access in the Leads Access Manager to read the lead.", status=403),
    Refusal(code=294, message="(#294) Managing advertisements requires the extended permission ads_management", status=403),
    Refusal(code=341, message="(#341) Feed action request limit reached"),
    Refusal(code=368, message="The action attempted has been deemed abusive or is otherwise disallowed", transient=False),
    Refusal(code=368, subcode=1390008, message="We limit how often you can post, comment or do other things in a given amount of time.", transient=False),
    Refusal(code=506, message="Duplicate status message"),
    _limit(613, "(#613) Calls to this api have exceeded the rate limit."),
    _limit(613, "(#613) Calls to this api have exceeded the rate limit for this ad account.", 1487742),
    _limit(613, "(#613) Calls to this api have exceeded the rate limit: inconsistent request volume.", 1996),
    Refusal(code=803, message="(#803) Some of the aliases you requested do not exist: {id}", status=404),
    Refusal(code=2200, message="(#2200) Callback verification failed: {id}"),
    Refusal(code=2500, message="An active access token must be used to query information about the current user."),
    Refusal(code=2635, message="(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version."),
    *(_limit(code, f"(#{code}) {_TOO_MANY.format(kind, holder)}", subcode) for code, kind, holder, subcode in (
        (80000, "ads insights", "ad", 2446079), (80001, "", "Page", None), (80002, "instagram", "Instagram", None),
        (80003, "custom audience", "ad", 2446079), (80004, "ads management", "ad", 2446079), (80005, "leadgen api", "Page", None),
        (80006, "messenger", "Page", None), (80008, "WhatsApp Business Management", "WhatsApp business", None),
        (80009, "catalog management", "catalog", None), (80014, "catalog batch", "catalog", None),
    )),
)  # fmt: skip
_BY_CODE = {(refusal.code, refusal.subcode): refusal for refusal in reversed(_KNOWN)}


def refusal(code: int, subcode: int | None = None, *, object_id: str = "", message: str | None = None) -> Refusal:
    """The refusal Graph gives for this code and subcode; unknown pairs get a plain text of their own."""
    known = _BY_CODE.get((code, subcode)) or next((r for r in _KNOWN if r.code == code), None)
    if known is None:
        known = Refusal(code=code, message=f"(#{code}) An error occurred")
    text = message if message is not None else known.message.replace("{id}", object_id)
    return Refusal(
        code=code,
        subcode=subcode if subcode is not None or (code, None) in _BY_CODE else known.subcode,
        message=text,
        status=known.status,
        type=known.type,
        transient=known.transient,
        user_title=known.user_title,
        user_message=known.user_message,
    )


def known_refusals() -> tuple[Refusal, ...]:
    """Every refusal the double can give by itself."""
    return _KNOWN


def missing(object_id: str, verb: str = "get") -> RefusedError:
    """100/33: it does not exist, or this token may not see it; Graph does not say which."""
    text = refusal(100, 33, object_id=object_id).message.replace("Unsupported get", f"Unsupported {verb}")
    return RefusedError(refusal(100, 33, message=text))


def unknown_field(name: str, node_type: str) -> RefusedError:
    """#100 for a field that is not there, or that the token may not read."""
    return RefusedError(
        refusal(100, message=f"(#100) Tried accessing nonexisting field ({name}) on node type ({node_type})")
    )


def bad_parameter(message: str) -> RefusedError:
    """#100 with a text."""
    return RefusedError(refusal(100, message=f"(#100) {message}"))
