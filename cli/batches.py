"""`pressroom batches`: calls that wait for their answers in batches."""

import datetime as dt
from typing import TYPE_CHECKING, Any

import typer

from cli.output import JsonFlag, emit, out, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pressroom.llm.batches import Looked
    from pressroom.store.batches import Batch

app = typer.Typer(help="List the batches that wait for answers, and collect them.")

RECENT = dt.timedelta(days=7)
ASKS_FOR_S = 20.0  # seconds that a list waits for the endpoints


@app.callback(invoke_without_command=True)
def batches(context: typer.Context, json: JsonFlag = False) -> None:
    """Lists the open batches, and those of the last seven days, with what their endpoints say of them."""
    if context.invoked_subcommand:
        return
    from cli.opening import open_desk
    from pressroom.llm.batches import Collection, look
    from pressroom.llm.models import model_routes
    from pressroom.records import stable_id
    from pressroom.settings import load_settings
    from pressroom.store.batches import known_batches

    settings, since = load_settings(), dt.datetime.now(dt.UTC) - RECENT
    with open_desk(settings) as store:
        with store.transaction() as session:
            known = known_batches(session, stable_id("account", settings.account), closed_since=since)
        waits = any(batch.is_open for batch in known)
        found = look(store, model_routes(settings), within_s=ASKS_FOR_S) if waits else Collection()
    remote = {looked.batch.id: looked for looked in found.waiting}
    documents = [_document(batch, remote.get(batch.id)) for batch in known]
    if json:
        emit(documents)
    elif documents:
        _show(documents)
    else:
        out.print("No batch waits, and none was collected in the last seven days: pressroom run SITE --batch sends one.", soft_wrap=True)


@app.command()
def collect(json: JsonFlag = False) -> None:
    """Books the answers that are there now. What is not there yet is left alone; doing it again, or beside the sensor, changes nothing."""
    from cli.opening import open_known_store
    from pressroom.llm.batches import collect as look_for_answers
    from pressroom.llm.models import model_routes
    from pressroom.settings import load_settings

    settings = load_settings()
    with open_known_store(settings) as store:
        found = look_for_answers(store, model_routes(settings))
    closed = [_document(batch) for batch in found.closed]
    waiting = [_document(looked.batch, looked) for looked in found.waiting]
    if json:
        emit({"collected": closed, "waiting": waiting})
        return
    if closed or waiting:
        _show([*closed, *waiting])
    else:
        say("no batch is open")
    for site, day in sorted({(batch.site, str(batch.day)) for batch in found.closed if batch.site and batch.day}):
        say(f"{site}, {day}: the sensor `batches` goes on; without it: pressroom run {site} --date {day} --batch")


def _document(batch: "Batch", looked: "Looked | None" = None) -> dict[str, Any]:
    """The batch for a script. `remote` is its status at the endpoint, while it is open; `problem` is why that, or an answer, is missing."""
    known = batch.model_dump(mode="json", exclude={"owner", "error", "age"})
    return known | {
        "age_s": round(batch.age.total_seconds()),
        "remote": looked.remote or None if looked else None,
        "problem": looked.problem or None if looked else batch.error,
    }


def _show(documents: "Sequence[dict[str, Any]]") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("batch", "site", "day", "model", "state", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("calls", "answered", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    for batch in documents:
        state = f"{batch['state']}, {batch['remote']}" if batch["remote"] else batch["state"]
        cells = [batch["id"][:8], batch["site"] or "(house)", batch["day"] or "", batch["model"], state]
        table.add_row(*map(Text, cells), str(batch["requests"]), str(batch["answered"]), _age(batch["age_s"]))
    out.print(table)
    for batch in documents:
        if batch["problem"]:
            out.print(f"{batch['id'][:8]}: {batch['problem']}", markup=False, highlight=False, soft_wrap=True)


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
