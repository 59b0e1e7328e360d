"""What is said of an import: why a source was not read, and what became of its rows."""

from ingest.export import NotAnExport
from ingest.meta.errors import AccessLost, Blocked, GraphError, Missing, OverBudget, Unavailable

_BY_HAND = "download the leads in Ads Manager, and import the file"
_EARLY = ("truncated", "timeout", "no-connection")


def no_file(error: NotAnExport, *, from_meta: bool) -> str:
    """Why there are no rows."""
    if from_meta and error.reason == "web-page":
        return f"Meta gave a web page, most likely to log in: it takes no page's token here, it seems; {_BY_HAND}"
    return str(error)


def not_given(error: GraphError, page_id: str) -> str:
    """Why Meta did not give the file, or not all of it, and what to do."""
    match error:
        case Unavailable(reason="redirected"):
            told = f"Meta sent us on, most likely to log in: it takes no page's token here, it seems; {_BY_HAND}"
        case Unavailable(reason=reason) if reason in _EARLY:
            told = "the file did not come, or not to its end: run the same again, it goes on with what is not here yet"
        case Unavailable():
            told = f"Meta does not answer as it should: try again in some minutes, or {_BY_HAND}"
        case OverBudget(regain_after=seconds):
            wait = "within the hour" if seconds is None else f"in {round(seconds / 60) + 1} minutes"
            told = f"the budget of page {page_id} is used up: again {wait}"
        case AccessLost():
            told = f"the token of page {page_id} may not read them: `leadstream doctor` says what is missing"
        case Missing():
            told = f"the token of page {page_id} sees no such form: is the id right, and the page?"
        case Blocked():
            told = f"Meta has blocked the token of page {page_id}: again in some hours, and not before"
        case _:
            told = f"Meta refused it: {_BY_HAND}"
    return f"{told} ({error})"
