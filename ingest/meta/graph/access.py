"""What to ask about access itself, and how to read it: is a token valid, may leads of a page be read. Performs no I/O.

An answer that does not say so clearly is None: whoever asked then knows as little as before.
"""

import re

from pydantic import SecretStr

from ingest.meta.errors import BadAsk
from ingest.meta.graph.answers import Answer
from ingest.meta.graph.asks import Ask, Key


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
