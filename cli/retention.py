"""`pressroom retention`: what is over its time goes, now instead of tonight."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import JsonFlag, emit, out, say
from pressroom.errors import BadInput, PressroomError

if TYPE_CHECKING:
    from pressroom.compliance.retention import Sweep


def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only says what would go.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Asks again for what a lock of the bucket kept before, instead.")] = False,
    who: Annotated[str | None, typer.Option("--as", metavar="USER", help="Who deletes; default: the user of this system.")] = None,
    json: JsonFlag = False,
) -> None:
    """Deletes frames, sound and raw output of videos that ended, later their sources, and old temporary files.

    Reports with their evidence, people's work and the log stay. What was deleted is in the log, version by version.
    """
    from cli.opening import open_known_store
    from pressroom.compliance.retention import cdn_of, retention_rules, sweep
    from pressroom.objects.opening import open_objects
    from pressroom.settings import load_settings

    settings = load_settings()
    rules, cdn = retention_rules(settings), cdn_of(settings)
    with open_known_store(settings) as store:
        done = sweep(
            store,
            open_objects(settings),
            rules,
            home=settings.home,
            folder=None if settings.objects_bucket else settings.objects_folder,
            cdn=cdn,
            who=who or _system_user(),
            dry_run=dry_run,
            held=held,
            tell=lambda line: None if json else say(line),
        )
    if json:
        emit(done)
    else:
        _show(done)
    if done.failed:
        raise PressroomError(f"{len(done.failed)} could not be deleted; nothing else was left out")


def _system_user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        raise BadInput("--as: this system does not say who you are; give your name") from None


def _show(done: "Sweep") -> None:
    out.print(done.told(), markup=False, highlight=False, soft_wrap=True)
    for version in done.held:
        out.print(f"held: {version}", markup=False, highlight=False, soft_wrap=True)
    for name, found in (("kept", done.kept), ("failed", done.failed)):
        for key, why in found.items():
            out.print(f"{name}: {key}: {why}", markup=False, highlight=False, soft_wrap=True)
