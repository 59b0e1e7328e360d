"""A form's leads as a file: what to ask for it, and how to read an address that a person pasted. Performs no I/O.

The endpoint is Facebook's own, beside Graph: developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving,
"Filter By Date Range". It answers with tab-separated text, whatever its name says.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from ingest.meta.graph.asks import Ask

_PATH = "/ads/lead_gen/export_csv"
_KNOWN = frozenset({"id", "type", "from_date", "to_date"})
_SECRET = re.compile("access_token|appsecret_proof", re.IGNORECASE)


class BadAddress(Exception):
    """An address that nothing is asked of; the text says why and what to do, and quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormExport:
    """What of a form is wanted, in unix seconds.

    Meta takes a `since` that is missing or before the form was made for that moment, and an `until` that is missing or
    in the future for now.
    """

    form_id: str
    since: int | None = None
    until: int | None = None


def ask_export(wanted: FormExport) -> Ask:
    """Asks for the file. The path is empty: its address is a setting."""
    dates = (("from_date", wanted.since), ("to_date", wanted.until))
    told = tuple((name, str(moment)) for name, moment in dates if moment is not None)
    return Ask(path="", params=(("id", wanted.form_id), ("type", "form"), *told), about=None)


def read_address(address: str, *, asked: str) -> FormExport:
    """What an address asks for; BadAddress where it is not the endpoint, which `asked` is the address of."""
    if _SECRET.search(address):
        raise BadAddress(
            "the address holds a token, which is a secret, and your shell keeps what was typed: remove it from the"
            " shell's history, and give the address without it. The token is that of the form's page in META_PAGES_FILE"
        )
    params = dict(_parameters(address, asked))
    if params.get("type", "form") != "form":
        raise BadAddress("the address has another type than form: leads are had by form, with type=form and its id")
    if not re.fullmatch(r"[0-9]{1,32}", params.get("id", "")):
        raise BadAddress("the address names no form: give it the form's id, as in ?id=2381764112176533&type=form")
    return FormExport(form_id=params["id"], since=_second(params, "from_date"), until=_second(params, "to_date"))


def _parameters(address: str, asked: str) -> list[tuple[str, str]]:
    try:
        parts, ours = urlsplit(address), urlsplit(asked)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise BadAddress("that address cannot be read: is it whole, and in quotes?") from None
    places = {("www.facebook.com", _PATH), (ours.hostname, ours.path.rstrip("/"))}
    if (parts.hostname, parts.path.rstrip("/")) not in places:
        raise BadAddress(
            "that is no address of a form's leads, as https://www.facebook.com/ads/lead_gen/export_csv/?id=FORM is one."
            " Download what is elsewhere, and import the file"
        )
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names) or not _KNOWN.issuperset(names) or parts.fragment or parts.username is not None:
        raise BadAddress("the address may have id, type, from_date and to_date, each once: leave out everything else")
    return pairs


def _second(params: Mapping[str, str], name: str) -> int | None:
    """Meta's page says unix seconds; whatever else it takes, nobody can tell what it would make of it."""
    text = params.get(name, "")
    if text and not re.fullmatch(r"[0-9]{1,12}", text):
        raise BadAddress(f"{name} has to be unix seconds; or say --form, --since and --until instead of the address")
    return int(text) if text else None
