"""`pressroom site`: apply site files, list sites."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, emit, out, say

app = typer.Typer(help="Apply site files and list sites.", no_args_is_help=True)


@app.command()
def apply(
    files: Annotated[list[Path], typer.Argument(help="YAML files, one site each (or several documents).")], json: JsonFlag = False
) -> None:
    """Creates or changes sites as their YAML files say, and shows what changed. Applying twice changes nothing; all files or none."""
    from pressroom.accounts.sites import read_sites
    from pressroom.settings import load_settings
    from pressroom.store.engine import open_store
    from pressroom.store.sites import apply_site

    sites = read_sites(files)
    with open_store(load_settings()) as store, store.transaction() as session:
        changes = {site.slug: apply_site(session, site) for site in sites}
    if json:
        emit([{"site": slug, "changes": {key: list(pair) for key, pair in changed.items()}} for slug, changed in changes.items()])
        return
    for slug, changed in changes.items():
        is_new = bool(changed) and all(before is None for before, _ in changed.values())
        say(f"{slug}: {'new' if is_new else 'changed' if changed else 'unchanged'}")
        for key, (before, after) in {} if is_new else changed.items():
            say(f"  {key}: {before!r} -> {after!r}")


@app.command(name="list")
def list_(json: JsonFlag = False) -> None:
    """Lists the account's sites with their local time."""
    import datetime as dt

    from rich.table import Table

    from cli.opening import open_desk
    from pressroom.settings import load_settings
    from pressroom.store.sites import all_sites

    settings = load_settings()
    with open_desk(settings) as store, store.transaction() as session:
        sites = all_sites(session, account=settings.account)
    if json:
        emit(sites)
        return
    table = Table("site", "name", "account", "local time", "daily at", "platforms", title="Sites")
    for site in sites:
        now = dt.datetime.now(site.zone)
        daily = f"{site.automation.at:%H:%M}" if site.automation.enabled else "off"
        table.add_row(site.slug, site.name, site.account, f"{now:%Y-%m-%d %H:%M} {site.time_zone}", daily, ", ".join(site.platforms))
    out.print(table if sites else "No site yet: pressroom site apply examples/sites/*.yaml")
