"""A batch: up to 50 calls in one POST, answered in their order, each with its own code, headers and body (BATCH).

An item that times out is null. One item's error fails no other. `include_headers=false` leaves the items' headers out,
and with them the usage headers. A dead token of the batch itself refuses all of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from deploy.sandbox.graph.call import Answer, Call, refused
from deploy.sandbox.graph.errors import RefusedError, bad_parameter
from deploy.sandbox.graph.faults import replaced_answer, spoil
from deploy.sandbox.graph.graph import Graph
from deploy.sandbox.graph.versions import is_version, served_version

MAX_ITEMS = 50
_ITEM_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "private, no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}

_ENCODER = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One request of a batch, as it was posted."""

    method: str
    relative_url: str
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    token: str | None = None
    omit: bool = False
    """`omit_response_on_success`, or one that others refer to by name: its success is shown as null."""


async def answer_batch(graph: Graph, call: Call) -> Answer:
    """The answer to a whole batch, which takes as long as its slowest item."""
    fault = graph.fault_of_batch(call)
    answer = replaced_answer(fault, "") if fault is not None else None
    if answer is None:
        try:
            answer = await _answered(graph, call)
        except RefusedError as error:
            answer = refused(error.refusal)
    if fault is not None:
        spoil(fault, answer)
    graph.note_batch(call, answer)
    return answer


async def _answered(graph: Graph, call: Call) -> Answer:
    """Its usage headers are the app's, and those of all the pages its items concern."""
    graph.tokens.caller(call.token, call.params)
    items = _read_items(call.params.get("batch", ""))
    answers = [await graph.answer(_call_of(item, call, graph), in_batch=True) for item in items]
    include_headers = call.params.get("include_headers", "true").lower() not in ("false", "0")
    texts = [
        _item_text(item, answer, include_headers=include_headers) for item, answer in zip(items, answers, strict=True)
    ]
    usage: dict[str, object] = {}
    for answer in answers:
        if (text := answer.headers.get("x-business-use-case-usage")) is not None:
            usage.update(_object(text))
    headers = graph.usage.headers(None, "")
    if usage:
        headers["x-business-use-case-usage"] = json.dumps(usage, separators=(",", ":"))
    delay = max((answer.delay for answer in answers if answer.breaks is None), default=0.0)
    return Answer(status=200, body="[" + ",".join(texts) + "]", headers=headers, delay=delay)


def _read_items(text: str) -> list[Item]:
    try:
        posted = json.loads(text)
    except ValueError:
        posted = None
    if not isinstance(posted, list) or not all(isinstance(item, dict) for item in posted):
        raise bad_parameter("Param batch must be a JSON array of requests")
    if not posted:
        raise bad_parameter("Param batch must not be empty")
    if len(posted) > MAX_ITEMS:
        raise bad_parameter(f"Too many requests in batch message. Maximum batch size is {MAX_ITEMS}")
    return [_read_item(item) for item in posted]


def _read_item(posted: Mapping[str, object]) -> Item:
    if not isinstance(posted.get("relative_url"), str) or not isinstance(posted.get("method"), str):
        raise bad_parameter("Every request of a batch needs method and relative_url")
    headers = posted.get("headers")
    pairs = tuple((str(h["name"]), str(h["value"])) for h in headers) if isinstance(headers, list) else ()
    token = posted.get("access_token")
    return Item(
        method=str(posted["method"]).upper(),
        relative_url=str(posted["relative_url"]),
        body=str(posted.get("body") or ""),
        headers=pairs,
        token=token if isinstance(token, str) else None,
        omit=bool(posted.get("omit_response_on_success", "name" in posted)),
    )


def _call_of(item: Item, batch: Call, graph: Graph) -> Call:
    """An item without a token of its own uses the batch's, and then the batch's proof is its proof too."""
    parts = urlsplit(item.relative_url)
    segments = [segment for segment in parts.path.split("/") if segment]
    version = batch.version
    if segments and is_version(segments[0]):
        version = served_version(segments.pop(0), graph.state.now())
    params = dict(parse_qsl(parts.query, keep_blank_values=True)) | dict(parse_qsl(item.body, keep_blank_values=True))
    token = params.pop("access_token", None) or item.token
    if token is None:
        token = next((value[7:] for name, value in item.headers if name.lower() == "authorization"), None)
    if token is None or token == batch.token:
        token = batch.token
        if "appsecret_proof" in batch.params:
            params.setdefault("appsecret_proof", batch.params["appsecret_proof"])
    base = batch.base.rpartition("/")[0]
    return Call(
        method=item.method, path=tuple(segments), params=params, token=token, version=version, base=f"{base}/{version}"
    )


def _item_text(item: Item, answer: Answer, *, include_headers: bool) -> str:
    if answer.breaks is not None or (item.omit and answer.status == 200):  # noqa: PLR2004 - HTTP OK
        return "null"
    shown: dict[str, object] = {"code": answer.status}
    if include_headers:
        headers = _ITEM_HEADERS | {"Content-Type": f"{answer.content_type}; charset=UTF-8"} | answer.headers
        shown["headers"] = [{"name": name, "value": value} for name, value in headers.items()]
    shown["body"] = answer.body
    return _ENCODER.encode(shown)


def _object(text: str) -> dict[str, object]:
    """A usage header that a fault has damaged counts for nothing."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
