"""A double of Meta's Graph API for lead ads, so faithful that Meta's own SDK cannot tell. README.md specifies it."""

import os
from pathlib import Path

import yaml

from deploy.sandbox.graph.world import DEFAULT_PAGES, DEFAULT_SEED, GRAPH_VERSION, World

__all__ = ["settings"]


def settings(url: str, directory: Path, *, seed: int = DEFAULT_SEED, pages: int = DEFAULT_PAGES) -> dict[str, str]:
    """The settings that point leadstream at a double at `url`; writes `pages.yaml` (mode 0600) into `directory`.

    Depends on its arguments only: tokens and secrets follow from the seed. `pages` may exceed what the double has.
    """
    world = World(seed)
    file = directory / "pages.yaml"
    entries = {
        world.page(number).page_id: {"token": world.page_token(number), "app_id": world.app.app_id}
        for number in range(pages)
    }
    _write_private(file, yaml.safe_dump({"pages": entries}, sort_keys=False))
    return {
        "META_APP_SECRETS": world.app.secret,
        "META_VERIFY_TOKEN": world.app.verify_token,
        "META_PAGES_FILE": str(file),
        "META_GRAPH_URL": url,
        "META_API_VERSION": GRAPH_VERSION,
        "META_EXPORT_URL": f"{url}/ads/lead_gen/export_csv/",
    }


def _write_private(file: Path, text: str) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(file)
