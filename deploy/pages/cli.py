"""`leadstream pages`: whose leads are read, and what it takes that Meta announces them."""

import typer

from .add import add
from .list import list_
from .subscribe import subscribe

pages = typer.Typer(
    help="The pages whose leads are read: their tokens in META_PAGES_FILE, and their subscriptions at Meta.",
    no_args_is_help=True,
)
pages.command()(add)
pages.command(name="list")(list_)
pages.command()(subscribe)
