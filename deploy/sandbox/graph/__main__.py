"""`python -m deploy.sandbox.graph --port P --state DIR`: the Graph double as a process."""

import argparse
import asyncio
import sys
from pathlib import Path

from deploy.sandbox.graph.app import DEFAULT_HISTORY, serve
from deploy.sandbox.graph.state import OtherWorldError
from deploy.sandbox.graph.world import DEFAULT_PAGES, DEFAULT_SEED


def main() -> None:
    """Parse the command line and serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m deploy.sandbox.graph", description="A double of Meta's Graph API.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free one")
    parser.add_argument("--state", type=Path, required=True, help="a directory that is kept over restarts")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--pages", type=int, default=DEFAULT_PAGES, help="pages of a new world")
    parser.add_argument(
        "--history", type=int, default=DEFAULT_HISTORY, help="leads each form of a new world already has"
    )
    chosen = parser.parse_args()
    try:
        asyncio.run(
            serve(
                chosen.state,
                host=chosen.host,
                port=chosen.port,
                seed=chosen.seed,
                pages=chosen.pages,
                history=chosen.history,
            )
        )
    except (OtherWorldError, OSError) as error:
        sys.exit(f"graph double: {error}")


if __name__ == "__main__":
    main()
