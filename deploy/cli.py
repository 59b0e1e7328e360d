"""`leadstream`: one command tree, each command a short composition root, imported when it is called.

Exit codes: 0 done, 1 found wrong, 2 used wrongly.
"""

import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from ingest.settings_error import SettingsError

# Where a command is, and the line that `--help` has of it: without these, listing them would import all there is.
COMMANDS = {
    "demo": (
        "deploy.demo.cli:demo",
        (
            "All of it here: a Kafka, the workers, ten signed deliveries, the leads, a CRM topic, a replay, a "
            "reconciliation."
        ),
    ),
    "doctor": (
        "deploy.doctor.cli:doctor",
        (
            "What is wrong with tokens, permissions, subscriptions, versions and clocks: by page, with what to do "
            "about it."
        ),
    ),
    "status": (
        "deploy.account.cli:status",
        "Is every acknowledged lead accounted for? And what waits, for what, and since when.",
    ),
    "backfill": (
        "deploy.backfill.cli:backfill",
        "Read leads of the last 90 days from Meta, and put those that are not here yet on meta.leadgen.details.",
    ),
    "reconcile": (
        "deploy.reconcile.cli:reconcile",
        "Is every lead that Meta has here? Per form: how many Meta has, how many are here, and of the rest why.",
    ),
    "tail": (
        "deploy.tail:tail",
        "Decoded leads, or the records of any other topic, newest last. They hold people's answers.",
    ),
    "import": (
        "deploy.importing.cli:import_leads",
        "Leads from files of Ads Manager, or from Meta's export of a form: taken where nothing is known of them.",
    ),
    "canary": (
        "deploy.canary.cli:canary",
        (
            "Has Meta make a test lead on a form, waits for it on leads.v1, deletes it, and tells how long each "
            "stage took."
        ),
    ),
    "serve": (
        "deploy.workers:serve",
        "The webhook service: what Meta posts goes to Kafka, and a 200 means Kafka has it.",
    ),
    "work": ("deploy.workers:work", "A worker; run more of them for more."),
    "sandbox": (
        "deploy.sandbox.cli:sandbox",
        "Kafka, a schema registry, a double of Meta's Graph API, and a database with Kafka Connect, on this machine.",
    ),
    "topics": (
        "deploy.topics.cli:topics",
        "The topics and schemas that everything stands on, as declared and as they are.",
    ),
    "mapping": ("deploy.mapping.cli:mapping", "Mapping files: which lead fields go to which CRM topic."),
    "connect": ("deploy.connect.cli:connect", "Kafka Connect, which writes CRM topics to where they are needed."),
    "replay": (
        "deploy.replay.cli:replay",
        "Let a worker read again what it has read before. A lead's outputs are keyed, so a sink ends as it was.",
    ),
    "dead": ("deploy.dead.cli:dead", "Records that were given up: which, why, and the way back."),
    "parked": ("deploy.parked.cli:parked", "Records that wait for a repair: which, why, and the way back by hand."),
    "pages": (
        "deploy.pages.cli:pages",
        "The pages whose leads are read: their tokens in META_PAGES_FILE, and their subscriptions at Meta.",
    ),
}


class _OnCall(TyperGroup):
    """Lists what it is given, and imports what is called.

    `Any`: typer's own Context and Command have no public name.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else load(name), rest


def load(name: str) -> Any:
    """The command of that name as typer runs it, as if it had been there from the beginning."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(module), attribute)
    tree = typer.Typer()
    if isinstance(found, typer.Typer):
        tree.add_typer(found, name=name)
    else:
        tree.command(name)(found)
    return get_group(tree).commands[name]


def _listed() -> None:
    """Stands for a command until that is called."""


app = typer.Typer(
    cls=_OnCall,
    help="Meta lead ads, from webhook to CRM, as a Kafka stream that loses no lead and can prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show tokens and answers
    add_completion=False,
)
for _name, (_, _line) in COMMANDS.items():
    app.command(_name, help=_line)(_listed)


def main() -> None:
    """The console script."""
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"leadstream: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
