"""A form's file from Meta comes in pieces, or its absence is told as what it is; against a far side on loopback."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from deploy.importing.sources import Batch, batches, download_pieces
from deploy.importing.words import no_file, not_given
from ingest.export import NotAnExport, Row
from ingest.meta.client import GraphClient
from ingest.meta.errors import AccessLost, GraphError, OverBudget, Unavailable
from ingest.meta.graph import FormExport, ask_export
from ingest.meta.pages import PageAccess
from ingest.settings import AppSecret, MetaSettings

TOKEN, SECRET = "EAAGplantedtoken", "planted-secret"
PAGE = PageAccess(page_id="9", token=SecretStr(TOKEN))
HEADER = "id\tcreated_time\tform_id\tis_organic\tplatform\tfull_name\n"
Answers = Callable[[web.Request], Awaitable[web.StreamResponse]]


def row(number: int) -> str:
    return f"{55459717045641545 + number}\t2026-11-20T10:00:{number % 60:02}+0000\t12\t1\tfb\tRosa Díaz {number}\n"


async def downloaded(answers: Answers, found: list[Batch]) -> list[web.Request]:
    """Puts the batches of rows into `found` as they come. GraphError or NotAnExport."""
    requests: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return await answers(request)

    app = web.Application()
    app.router.add_get("/export/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    settings = MetaSettings(
        meta_app_secrets=(AppSecret(secret=SecretStr(SECRET)),),
        meta_export_url=f"http://127.0.0.1:{runner.addresses[0][1]}/export/",
    )
    try:
        async with aiohttp.ClientSession() as session:
            graph = GraphClient(session, settings)
            async with graph.download(ask_export(FormExport(form_id="12", since=1)), graph.key(PAGE)) as pieces:
                async for batch in batches(download_pieces(pieces, asyncio.get_running_loop())):
                    found.append(batch)  # noqa: PERF401  those before a failure are kept
    finally:
        await runner.cleanup()
    return requests


def failing(answers: Answers) -> GraphError:
    with pytest.raises(GraphError) as failed:
        asyncio.run(downloaded(answers, []))
    told = "".join(traceback.format_exception(failed.value))
    assert TOKEN not in told
    assert failed.value.__context__ is None or not isinstance(failed.value.__context__, aiohttp.ClientError)
    return failed.value


def test_rows_come_while_the_file_does() -> None:
    """3,000 rows in pieces that end within characters; what is asked has the token in a header and nowhere else."""
    body = (HEADER + "".join(map(row, range(3000)))).encode()

    async def answers(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/tab-separated-values"})
        await response.prepare(request)
        for start in range(0, len(body), 4099):
            await response.write(body[start : start + 4099])
        return response

    found: list[Batch] = []
    [request] = asyncio.run(downloaded(answers, found))
    assert [len(batch.rows) for batch in found] == [1000, 1000, 1000]
    assert found[-1].bytes_read == len(body)
    rows = [each for batch in found for each in batch.rows if isinstance(each, Row)]
    assert [each.lead_id for each in rows] == [str(55459717045641545 + number) for number in range(3000)]
    assert rows[-1].questions == (("full_name", "Rosa Díaz 2999"),)
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert dict(request.query) == {
        "id": "12",
        "type": "form",
        "from_date": "1",
        "appsecret_proof": request.query["appsecret_proof"],
    }
    assert TOKEN not in str(request.url)


@pytest.mark.parametrize("status", [200, 400])
def test_an_error_in_the_place_of_the_file_is_metas_refusal(status: int) -> None:
    async def answers(_: web.Request) -> web.StreamResponse:
        body = f'{{"error":{{"message":"Bad {TOKEN}","type":"OAuthException","code":190,"error_subcode":460}}}}'
        return web.Response(text=body, status=status, content_type="text/javascript")

    error = failing(answers)
    assert isinstance(error, AccessLost)
    assert "the token of page 9 may not read them" in not_given(error, "9")


def test_a_budget_that_is_used_up_is_told_with_metas_estimate() -> None:
    async def answers(_: web.Request) -> web.StreamResponse:
        use = '{"9":[{"type":"leadgen","call_count":100,"estimated_time_to_regain_access":5}]}'
        body = '{"error":{"message":"too many","type":"OAuthException","code":80005}}'
        return web.Response(text=body, status=400, headers={"X-Business-Use-Case-Usage": use})

    error = failing(answers)
    assert isinstance(error, OverBudget)
    assert "again in 6 minutes" in not_given(error, "9")


def test_a_page_to_log_in_with_is_no_file() -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<!DOCTYPE html><html><title>Log in</title></html>", content_type="text/html")

    with pytest.raises(NotAnExport) as refused:
        asyncio.run(downloaded(page, []))
    assert "import the file" in no_file(refused.value, from_meta=True)

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "https://www.facebook.com/login.php"})

    error = failing(elsewhere)
    assert error.reason == "redirected"
    assert "log in" in not_given(error, "9")


def test_what_came_before_the_file_broke_off_is_kept() -> None:
    """Half a row at its end is no row, and no refusal either: there may be more of it."""
    found: list[Batch] = []

    async def answers(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10**6
        await response.prepare(request)
        await response.write((HEADER + "".join(map(row, range(99))) + row(99)[:30]).encode())
        assert request.transport is not None
        request.transport.close()
        return response

    with pytest.raises(Unavailable) as failed:
        asyncio.run(downloaded(answers, found))
    assert failed.value.reason == "truncated"
    assert "run the same again" in not_given(failed.value, "9")
    assert [[each.line for each in batch.rows] for batch in found] == [[*range(2, 101)]]


def test_an_empty_answer_is_an_empty_file() -> None:
    async def answers(_: web.Request) -> web.StreamResponse:
        return web.Response(text="")

    with pytest.raises(NotAnExport) as refused:
        asyncio.run(downloaded(answers, []))
    assert refused.value.reason == "empty"


@pytest.mark.parametrize(
    ("status", "text", "reason"),
    [
        (200, '{"data":[]}', "not-an-object"),
        (200, "  {", "not-json"),
        (200, "Service Unavailable", "not-json"),
        (403, "<html>", "not-json"),
        (404, HEADER, "not-json"),
        (502, "<html>", "server-error"),
    ],
)
def test_what_is_no_refusal_of_metas_and_no_file_either_is_no_answer(status: int, text: str, reason: str) -> None:
    async def answers(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    error = failing(answers)
    assert isinstance(error, Unavailable)
    assert error.reason == reason
    assert "does not answer as it should" in not_given(error, "9")
