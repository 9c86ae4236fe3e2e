"""`pressroom db`: look after the database."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, emit, out, say

app = typer.Typer(help="Look after the database: status, stop, migrate, backup, restore.", no_args_is_help=True)


@app.command()
def status(json: JsonFlag = False) -> None:
    """Whether the database runs, where, and at which revision. Starts nothing."""
    from sqlalchemy import text

    from pressroom.settings import load_settings
    from pressroom.store import migrate
    from pressroom.store.embedded import server_status
    from pressroom.store.engine import connect

    settings = load_settings()
    document: dict[str, object] = {"embedded": settings.database_url is None, "running": True, "newest_revision": migrate.newest()}
    if settings.database_url is None:
        server = server_status(settings.home)
        document |= {"running": server.running, "folder": server.folder, "log": server.log, "pid": server.pid, "clients": server.clients}
    if document["running"]:
        with connect(settings) as store, store.transaction() as session:
            document |= {"name": store.name, "version": str(session.scalar(text("SHOW server_version"))).split()[0]}
            document |= {"revision": migrate.current(store)}
    if json:
        emit(document)
    elif not document["running"]:
        say(f"the embedded PostgreSQL in {document['folder']} is not running; the next command that needs it starts it")
    else:
        for key, value in document.items():
            out.print(f"{key.replace('_', ' '):16} {'none' if value is None else value}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def stop(json: JsonFlag = False) -> None:
    """Stops the embedded server, whoever uses it. What was committed is kept."""
    from pressroom.errors import BadInput
    from pressroom.settings import load_settings
    from pressroom.store.embedded import stop_server

    settings = load_settings()
    if settings.database_url is not None:
        raise BadInput("PRESSROOM_DATABASE_URL is set: that server is not Pressroom's to stop")
    stopped = stop_server(settings.home)
    emit({"stopped": stopped}) if json else say("stopped" if stopped else "it was not running")


@app.command()
def migrate(json: JsonFlag = False) -> None:
    """Brings the tables to the newest revision. Every other command does this too when it opens the database."""
    from pressroom.settings import load_settings
    from pressroom.store import migrate as migrations
    from pressroom.store.engine import connect

    with connect(load_settings()) as store:
        before = migrations.current(store)
        migrations.ensure_current(store)
    after = migrations.newest()
    if json:
        emit({"before": before, "revision": after, "changed": before != after})
    else:
        say(f"revision {after}" if before == after else f"revision {before or 'none'} -> {after}")


@app.command()
def backup(
    file: Annotated[Path | None, typer.Argument(help="Where to; default: backups/ under PRESSROOM_HOME.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json: JsonFlag = False,
) -> None:
    """Writes everything in the database to one file. Works while others work with it."""
    import datetime as dt

    from cli.opening import open_known_store
    from pressroom.settings import load_settings
    from pressroom.store.backup import backup as write

    settings = load_settings()
    file = file or settings.home / "backups" / f"pressroom-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}.dump"
    with open_known_store(settings) as store:
        written = write(store, file, force=force)
    if json:
        emit({"file": written.file.absolute(), "bytes": written.size, "revision": written.revision})
    else:
        say(f"{written.file}: {written.size:,} bytes, revision {written.revision}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `pressroom db backup` wrote.")],
    yes: Annotated[bool, typer.Option("--yes", help="Replace what the database holds.")] = False,
    json: JsonFlag = False,
) -> None:
    """Makes the database what the file holds. A file that cannot be read leaves the database as it is."""
    from pressroom.settings import load_settings
    from pressroom.store.backup import restore as read
    from pressroom.store.engine import connect
    from pressroom.store.migrate import newest

    with connect(load_settings()) as store:
        done = read(store, file, replace=yes)
    if json:
        emit({"file": done.file.absolute(), "revision_of_file": done.revision, "revision": newest()})
    else:
        say(f"restored {done.file}, revision {done.revision}" + ("" if done.revision == newest() else f", migrated to {newest()}"))
