"""`pressroom risks`: what videos are screened for, and what another file would have made of those that were screened."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import JsonFlag, emit, out, say
from cli.screened import read_screened

if TYPE_CHECKING:
    from pressroom.records import Trigger
    from pressroom.safety.dictionaries import Dictionary
    from pressroom.safety.policy import Policy
    from pressroom.safety.replay import Change, Comparison, Screened
    from pressroom.safety.risks import Risks

SHOWN = 40  # changes in a table; --json has all

app = typer.Typer(help="Look at the risks that videos are screened for: check, diff.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="Risks, a policy or a dictionary of your own; without it, what comes with Pressroom.", show_default=False),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--dictionaries", help="Folder of your own dictionaries (*.yaml).")] = None,
    json: JsonFlag = False,
) -> None:
    """Checks a file of risks, a policy or a dictionary, and lists what is in force with it.

    Exit code 0: it can be used; 2: it cannot, with one line for each mistake.
    """
    from pressroom.safety.dictionaries import Dictionaries, dictionaries, read_dictionary
    from pressroom.safety.policy import policy, shipped_policies
    from pressroom.safety.reading import Mistakes
    from pressroom.safety.risks import risks, unknown_labels

    kind = None if file is None else _kind(file)
    known, words = risks(), dictionaries(folder)
    chosen = policy()
    if file is not None and kind == "risks":
        known = risks(file)
        chosen = policy(own_risks=file)
    elif file is not None and kind == "policy":
        chosen = policy(file)
    elif file is not None:
        words = Dictionaries(files=(read_dictionary(file),))
    else:
        for name in shipped_policies():
            policy(name)
    if unheard := unknown_labels(known, words):
        raise Mistakes(f"{file or folder or 'risks.yaml'}: {line}" for line in unheard)
    if json:
        emit(_document(kind, known, chosen, words.files))
    elif kind == "dictionary":
        _show_words(words.files)
    else:
        _show_risks(known, chosen)
        _show_words(words.files)


@app.command()
def diff(
    file: Annotated[Path, typer.Argument(help="Risks or a policy.", show_default=False)],
    file2: Annotated[
        Path | None,
        typer.Argument(help="What it would become; without it, FILE is compared with what comes with Pressroom.", show_default=False),
    ] = None,
    signals: Annotated[
        list[Path] | None,
        typer.Option("--signals", help="JSON of a video (duration_ms, signals, coverage) in place of the stored ones. May be repeated."),
    ] = None,
    site: Annotated[str | None, typer.Option("--site", help="Slug of the site whose videos are looked at; default: all.")] = None,
    json: JsonFlag = False,
) -> None:
    """Compares what two files make of the signals that are stored. No detector is asked.

    A trigger appeared, vanished, moved, or has another severity or action. Exit code 0, whatever is different.
    """
    from pressroom.safety.policy import policy
    from pressroom.safety.replay import replay

    old, new = (policy(), _policy_of(file)) if file2 is None else (_policy_of(file), _policy_of(file2))
    found = list(replay(map(read_screened, signals) if signals else _stored(site), old, new))
    if json:
        emit(_diff_document(old, new, found))
    else:
        _show_diff(old, new, found)


def _stored(site: str | None) -> "Iterator[Screened]":
    """What the database holds of every screened video, one at a time in memory."""
    from cli.opening import open_desk
    from pressroom.records import stable_id
    from pressroom.safety.replay import Screened
    from pressroom.settings import load_settings
    from pressroom.store.sites import site_by_slug
    from pressroom.store.videos import coverages_of, screened_videos, signals_of

    settings = load_settings()
    ours = stable_id("account", settings.account)
    with open_desk(settings) as store:
        with store.transaction() as session:
            if site:
                site_by_slug(session, site, account=settings.account)  # a slug that is none is said
            videos = screened_videos(session, site=site)
        for video in videos:
            if video.probe is None or video.account_id != ours:
                continue
            with store.transaction() as session:
                found, coverages = signals_of(session, video), coverages_of(session, video)
            yield Screened(video.key, video.probe.duration_ms, tuple(found), tuple(coverages))


def _kind(path: Path) -> str:
    """What a file is, by its keys. Raises Mistakes when it is none of the three."""
    from pressroom.safety.reading import Mistakes, read_mapping

    keys = read_mapping(path).keys()
    if "risks" in keys:
        return "risks"
    if "terms" in keys:
        return "dictionary"
    if keys & {"extends", "required", "trust", "accept_unscored", "actions", "thresholds", "people_only", "escalate_to"}:
        return "policy"
    raise Mistakes([f"{path}: expected risks ('risks:'), a policy ('extends:' or 'required:') or a dictionary ('terms:')"])


def _policy_of(path: Path) -> "Policy":
    """A policy, or the default one with a file of risks."""
    from pressroom.safety.policy import policy
    from pressroom.safety.reading import Mistakes

    kind = _kind(path)
    if kind == "dictionary":
        raise Mistakes([f"{path}: a dictionary changes what is found: screen again; risks and policies can be compared"])
    return policy(own_risks=path) if kind == "risks" else policy(path)


def _document(kind: str | None, known: "Risks", chosen: "Policy", words: "Iterable[Dictionary]") -> dict[str, Any]:
    lists = [{"language": one.language, "code": one.code, "label": one.label, "terms": _forms(one)} for one in words]
    if kind == "dictionary":
        return {"kind": kind, "dictionaries": lists}
    rules = chosen.model_dump(mode="json", exclude={"risks", "name"})
    listed = [risk.model_dump(mode="json") | {"action": chosen.action_of(risk)} for risk in known.risks]
    return {
        "kind": kind or "shipped",
        "version": known.version,
        "risks": listed,
        "policy": {"version": chosen.version} | rules,
        "dictionaries": lists,
    }


def _forms(one: "Dictionary") -> int:
    return sum(len(term.forms) for term in one.terms)


def _show_risks(known: "Risks", chosen: "Policy") -> None:
    from rich.table import Table

    table = Table("code", "severity", "action", "lane", "from", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for risk in known.risks:
        found: dict[str, list[str]] = {}
        for one in risk.detectors:
            found.setdefault(one.id, []).append(f"{one.label} {chosen.thresholds.get(risk.code, one.threshold):g}")
        heard = "; ".join(f"{detector}: {', '.join(labels)}" for detector, labels in found.items()) or "people only"
        table.add_row(risk.code, str(risk.severity), chosen.action_of(risk), risk.modality, heard)
    out.print(table)
    required = ", ".join(f"{one.detector} {one.min_coverage:.0%}" for one in chosen.required) or "nothing"
    say(f"risks {known.version}; policy {chosen.version}: clear needs {required}")


def _show_words(words: "Iterable[Dictionary]") -> None:
    listed = ", ".join(f"{one.label} ({one.language}, {_forms(one)})" for one in words)
    say(f"dictionaries: {listed}")


def _diff_document(old: "Policy", new: "Policy", found: "list[tuple[str, Comparison]]") -> dict[str, Any]:
    videos = [
        {"video": video, "outcome": {"before": one.before, "after": one.after}, "same": one.same, "changes": one.changes}
        for video, one in found
    ]
    return {"before": old.version, "after": new.version, "videos": videos}


def _show_diff(old: "Policy", new: "Policy", found: "list[tuple[str, Comparison]]") -> None:
    from rich.table import Table

    from pressroom.safety.replay import moves
    from pressroom.wording import some

    table = Table("video", "change", "code", "before", "after", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    rows = list(_rows(found))
    for row in rows[:SHOWN]:
        table.add_row(*row)
    if rows:
        out.print(table)
    if len(rows) > SHOWN:
        say(f"{some(len(rows) - SHOWN, 'more change')}; --json has all")
    for (before, after), count in sorted(moves(one for _, one in found).items()):
        say(f"{some(count, 'video')}: {before}" + ("" if before == after else f" becomes {after}"))
    same = sum(one.same for _, one in found)
    stay = f"{some(same, 'trigger')} {'stays as it is' if same == 1 else 'stay as they are'}"
    say(f"{old.version} against {new.version}: {some(len(rows), 'change')}, {stay}")


def _rows(found: "list[tuple[str, Comparison]]") -> Iterator[tuple[str, ...]]:
    for video, one in found:
        for change in one.changes:
            yield video, ", ".join(change.kinds), change.code, *(_said(change, trigger) for trigger in (change.before, change.after))


def _said(change: "Change", trigger: "Trigger | None") -> str:
    if trigger is None:
        return "–"
    time = f"{trigger.start_ms / 1000:.1f}–{trigger.end_ms / 1000:.1f} s"
    return f"{time} {trigger.action}" + (f" {trigger.severity}" if "severity" in change.kinds else "")
