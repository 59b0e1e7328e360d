"""What exists because of the seed alone: the app and its secret, pages, tokens, forms. Nothing here changes."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from deploy.sandbox.graph.ids import PAGES

DEFAULT_SEED = 1
DEFAULT_PAGES = 3
GRAPH_VERSION = "v25.0"

_FIRST_PAGES: tuple[tuple[str, ...], ...] = (
    ("test_drive", "newsletter", "test_drive_2024"),
    ("solar", "b2b"),
    ("homes_india", "insurance_brazil", "loans_latam"),
)
_LATER_PAGES = ("test_drive", "newsletter", "solar", "b2b", "homes_india", "insurance_brazil", "loans_latam")
_FORMS_OF_FIRST = sum(len(forms) for forms in _FIRST_PAGES)
_PAGE_NAMES = ("Harbor Auto Group", "Solarwerk Süd", "Casa & Ghar Homes")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """An app: `secret` signs webhooks and proofs, `verify_token` is what its owner chose for the handshake."""

    app_id: str
    name: str
    secret: str
    verify_token: str

    @property
    def token(self) -> str:
        """The app access token, `{app-id}|{app-secret}`."""
        return f"{self.app_id}|{self.secret}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page; `forms` are `(number, template)`."""

    number: int
    page_id: str
    name: str
    forms: Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that follows from `seed`."""

    seed: int

    def digest(self, *parts: object) -> bytes:
        """32 bytes that follow from the seed and `parts`; the source of every secret and token."""
        return hmac.digest(f"graph double {self.seed}".encode(), "\x1f".join(map(str, parts)).encode(), hashlib.sha256)

    @property
    def app(self) -> App:
        """The app whose secret and verify token the settings hold."""
        return _app(self, "ours", 1)

    @property
    def foreign_app(self) -> App:
        """An app that is not ours: its proofs and tokens must be refused."""
        return _app(self, "foreign", 2)

    def page(self, number: int) -> Page:
        """The page of that number; pages have forms from the start, later ones two each."""
        return _page(number)

    def form_origin(self, form: int) -> tuple[int, str]:
        """`(page number, template)` of a form that the seed made."""
        return _form_origin(form)

    def page_token(self, page: int, generation: int = 0) -> str:
        """The page's access token; a replaced token is the next generation."""
        return _token(self, "page", page, generation)

    @property
    def user_id(self) -> str:
        """The user who manages every page."""
        return f"122{int.from_bytes(self.digest('user')[:6], 'big') % 10**13:013d}"

    def user_token(self, generation: int = 0) -> str:
        """A token of the user who manages every page: 0 is short-lived, 1 is what it can be exchanged for."""
        return _token(self, "user", generation)


@lru_cache(maxsize=100_000)
def _page(number: int) -> Page:
    if number < len(_FIRST_PAGES):
        first = sum(len(forms) for forms in _FIRST_PAGES[:number])
        names = _FIRST_PAGES[number]
        title = _PAGE_NAMES[number]
    else:
        first = _FORMS_OF_FIRST + 2 * (number - len(_FIRST_PAGES))
        names = tuple(_LATER_PAGES[(first + k) % len(_LATER_PAGES)] for k in range(2))
        title = f"{_PAGE_NAMES[number % 3]} {number + 1}"
    forms = [(first + place, name) for place, name in enumerate(names)]
    return Page(number=number, page_id=PAGES.id_of(number), name=title, forms=forms)


@lru_cache(maxsize=100_000)
def _form_origin(form: int) -> tuple[int, str]:
    if form < _FORMS_OF_FIRST:
        page = next(number for number in range(len(_FIRST_PAGES)) if form in dict(_page(number).forms))
    else:
        page = len(_FIRST_PAGES) + (form - _FORMS_OF_FIRST) // 2
    return page, dict(_page(page).forms)[form]


@lru_cache
def _app(world: World, name: str, number: int) -> App:
    digits = int.from_bytes(world.digest("app", name)[:6], "big") % 10**14
    return App(
        app_id=f"{number}{digits:014d}",
        name=f"leadstream sandbox ({name})",
        secret=world.digest("app secret", name).hex()[:32],
        verify_token=world.digest("verify token", name).hex()[:24],
    )


@lru_cache(maxsize=100_000)
def _token(world: World, *parts: object) -> str:
    raw = b"".join(world.digest("token", *parts, k) for k in range(4))
    return "EAA" + base64.b64encode(raw, altchars=b"ZD").decode().rstrip("=")
