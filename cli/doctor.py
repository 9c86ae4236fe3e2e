"""`pressroom doctor`: what is set, reachable and missing, and what to do about it."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from cli.output import JsonFlag, emit, out

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from pressroom.llm.types import Purpose
    from pressroom.settings import Settings

USED: "tuple[Purpose, ...]" = ("idea", "draft", "embedding")  # purposes that the content line has so far
REACH_WITHIN_S = 5
ENDS_SOON_DAYS = 90
INSTEAD = "gpt-6-luna"  # what OpenAI names for gpt-4.1-mini (its list of deprecations, 2026-11); it costs a quarter of that
ROOM_BYTES = 1_000_000_000  # a year of one site's drafts and reports is some 100 MB; the rest is the database's log and backups
UNANSWERED = (OSError, ValueError, LookupError, TypeError, AttributeError)  # no answer, none in JSON, or JSON of another form
MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "problem": "[red]✗[/]"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `advice` says what to do unless `state` is "ok"."""

    name: str
    state: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Place:
    """An endpoint, and where its URL, its secret and its models are set, as advice calls these. `has_secret`: there is one to send."""

    name: str
    base: str
    url: str
    secret: str
    model: str = ""
    has_secret: bool = True

    @property
    def where(self) -> str:
        return _without_login(self.base)


def doctor(json: JsonFlag = False) -> None:
    """Shows what is set, reachable and missing, and what to do. Exits with 0 when everything needed is usable, else with 2."""
    findings = list(examine())
    is_usable = all(finding.state != "problem" for finding in findings)
    if json:
        emit({"ok": is_usable, "checks": [asdict(finding) for finding in findings]})
    else:
        _show(findings)
    if not is_usable:
        raise typer.Exit(2)


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which a newcomer needs them."""
    from pressroom.errors import PressroomError
    from pressroom.settings import load_settings

    yield _python()
    try:
        settings = load_settings()
    except PressroomError as error:
        yield Finding("settings", "problem", str(error), "correct the variable in the environment or in .env")
        return
    yield _folder("home", settings.home, "PRESSROOM_HOME")
    yield from _database(settings)
    yield _bucket(settings) if settings.objects_bucket else _folder("object store", settings.objects_folder, "PRESSROOM_STORE_URL")
    yield from _addresses(settings)
    yield from _models(settings)
    yield from _detectors(settings)
    yield from _hosted(settings)
    yield _dagster(settings)
    yield _settings(settings)


def _show(findings: list[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("", "what", Column("found", overflow="fold"), Column("to do", overflow="fold"), title="Pressroom")
    for finding in findings:
        table.add_row(MARKS[finding.state], finding.name, escape(finding.found), escape(finding.advice))
    out.print(table)


def _python() -> Finding:
    import sys

    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info < (3, 14):
        return Finding("Python", "ok", found)
    return Finding("Python", "problem", found, "use Python 3.11, 3.12 or 3.13")


def _folder(name: str, folder: Path, variable: str) -> Finding:
    import shutil
    import tempfile

    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(name, "problem", f"cannot write in {folder} ({error.strerror})", f"free it, or set {variable} to another folder")
    found = f"{folder}, {free / 1e9:.1f} GB free"
    if free < ROOM_BYTES:
        return Finding(name, "warning", found, f"free some space, or set {variable} to a folder with more")
    return Finding(name, "ok", found)


def _bucket(settings: "Settings") -> Finding:
    from pressroom.errors import PressroomError
    from pressroom.objects.days import UPLOADS
    from pressroom.objects.opening import open_objects

    try:
        next(open_objects(settings).list(UPLOADS), None)
    except PressroomError as error:
        return Finding("object store", "problem", str(error), "correct PRESSROOM_STORE_URL or the AWS_ settings, or look at the network")
    return Finding("object store", "ok", str(settings.store_url))


def _detectors(settings: "Settings") -> Iterator[Finding]:
    """Who looks at videos: what nobody looks for is never called clean, so it is said here what would."""
    from pressroom.compliance.detecting import DETECTORS
    from pressroom.errors import PressroomError
    from pressroom.inference.catalogue import catalogue
    from pressroom.inference.local import licence_notes, local_runners

    try:
        here = local_runners(settings)
        hosted = catalogue(settings.detectors).detectors if settings.hosted_inference else {}
        notes = licence_notes(settings)
    except PressroomError as error:
        yield Finding("detectors", "problem", str(error), "correct that file or setting")
        return
    served = [f"{detector} ({'hosted' if detector in hosted else 'here'})" for detector in DETECTORS if detector in {*here, *hosted}]
    unserved = [detector for detector in DETECTORS if detector not in {*here, *hosted, "flagged_terms"}]
    if unserved:
        advice = "set REPLICATE_API_TOKEN; until then they are reported as not analysed"
        yield Finding("detectors", "warning", f"{', '.join(served)}; nobody looks for {', '.join(unserved)}", advice)
    else:
        yield Finding("detectors", "ok", ", ".join(served))
    for note in notes:
        yield Finding("licence", "warning", note)


def _database(settings: "Settings") -> Iterator[Finding]:
    from sqlalchemy import text

    from pressroom.errors import PressroomError
    from pressroom.llm.pace import open_circuits
    from pressroom.store import migrate
    from pressroom.store.engine import connect
    from pressroom.store.lanes import lane_states
    from pressroom.store.sites import all_sites

    try:
        with connect(settings) as store, store.transaction() as session:
            version = str(session.scalar(text("SHOW server_version"))).split()[0]
            vector = session.scalar(text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'"))
            revision, newest = migrate.current(store), migrate.newest()
            sites = len(all_sites(session, account=settings.account)) if revision == newest else 0
            left_alone = open_circuits(*lane_states(session)) if revision == newest else []
            stranger = _stranger(session, settings.account) if revision == newest else ""
    except PressroomError as error:
        advice = "start it, or correct PRESSROOM_DATABASE_URL" if settings.database_url else "see the log, or set PRESSROOM_DATABASE_URL"
        yield Finding("database", "problem", str(error), advice)
        return
    yield Finding("database", "ok", f"{store.name}, version {version}")
    if vector:
        yield Finding("pgvector", "ok", str(vector))
    else:
        yield Finding("pgvector", "warning", "not installed on this server", "install pgvector: embeddings will need it")
    if revision == newest:
        yield Finding("migrations", "ok", f"revision {revision}")
    elif revision is not None and revision > newest:
        yield Finding("migrations", "problem", f"revision {revision}, this version knows {newest}", "install the newer Pressroom")
    else:
        yield Finding("migrations", "warning", f"revision {revision or 'none'}, newest is {newest}", "pressroom db migrate")
    for name in left_alone:
        yield Finding("pace", "warning", f"{name} failed again and again: it is left alone for now", "wait; one answer opens it again")
    if stranger:
        yield Finding("account", "problem", stranger, "correct PRESSROOM_ACCOUNT")
    elif sites:
        yield Finding("sites", "ok", str(sites))
    else:
        yield Finding("sites", "warning", "none", "pressroom site apply examples/sites/*.yaml")


def _stranger(session: "Session", account: str) -> str:
    """What is wrong with an account that does not exist."""
    from pressroom.errors import BadInput
    from pressroom.store.accounts import check_account

    try:
        check_account(session, account)
    except BadInput as error:
        return str(error)
    return ""


def _addresses(settings: "Settings") -> Iterator[Finding]:
    """The endpoints' URLs that cannot be one, also where nobody is asked there yet. They are not repeated: a login may be in one."""
    from pressroom.llm.urls import is_url

    for variable in ("OPENAI_BASE_URL", "REPLICATE_BASE_URL"):
        name = variable.lower()
        if not is_url(getattr(settings, name)):
            default = type(settings).model_fields[name].default
            yield Finding(variable, "problem", f"{variable}: expected a URL such as {default}", "correct it, or leave it out")


def _models(settings: "Settings") -> Iterator[Finding]:
    """Who writes: each endpoint that the content line can ask, with its models."""
    from pressroom.errors import PressroomError
    from pressroom.llm.models import model_routes, model_table
    from pressroom.llm.openai_provider import OpenAIProvider
    from pressroom.llm.prices import price_of

    try:
        kind = settings.llm_kind
    except PressroomError as error:
        yield Finding("model", "problem", str(error), "set OPENAI_API_KEY")
        return
    try:
        routes, table = model_routes(settings), model_table(settings.models)
    except PressroomError as error:
        yield Finding("model", "problem", str(error), "correct that file or setting")
        return
    if kind == "offline":
        offline = "offline: texts are composed on this machine, for demos and tests; OPENAI_API_KEY or OPENAI_BASE_URL brings a real model"
        yield Finding("model", "ok", offline)
        return
    asked: dict[tuple[str, str], list[OpenAIProvider]] = {}
    for purpose in USED:
        for provider in routes.of(purpose).providers:
            if isinstance(provider, OpenAIProvider) and provider not in asked.setdefault((provider.name, provider.base_url), []):
                asked[provider.name, provider.base_url].append(provider)
    for (name, url), providers in asked.items():
        models = list(dict.fromkeys(provider.model for provider in providers))
        if own := table.providers.get(name):
            of_it = f"of the provider {name} in PRESSROOM_MODELS"
            at = Place(f"model ({name})", url, f"base_url {of_it}", own.key or f"key {of_it}", f"model {of_it}", own.key is not None)
        else:
            has_key, model = settings.openai_api_key is not None, "PRESSROOM_LLM_MODEL or PRESSROOM_MODELS"
            at = Place("model", url, "OPENAI_BASE_URL", "OPENAI_API_KEY", model, has_key)
        yield _endpoint(at, providers[0].key.get_secret_value(), models)
        for model in models:
            if (price := price_of(model, path=settings.prices)) and price.ends:
                yield ending(model, price.ends, dt.datetime.now(dt.UTC).date())


def ending(model: str, ends: dt.date, today: dt.date) -> Finding:
    """A model whose end is known: said always, a warning in the months before it, and a problem from that day on."""
    from pressroom.wording import some

    left = (ends - today).days
    advice = f"set PRESSROOM_LLM_MODEL, or its purpose in PRESSROOM_MODELS, to another such as {INSTEAD}; try it first: pressroom eval"
    if left <= 0:
        return Finding("model's end", "problem", f"{model} was shut down on {ends}", advice)
    found = f"{model} is shut down on {ends}, in {some(left, 'day')}"
    return Finding("model's end", "warning", found, advice) if left <= ENDS_SOON_DAYS else Finding("model's end", "ok", found)


def _endpoint(at: Place, key: str, models: list[str]) -> Finding:
    """Asks the endpoint for its models, which costs nothing."""
    try:
        listed = {entry.get("id") for entry in _asked(f"{at.base.rstrip('/')}/models", key).get("data", [])}
    except UNANSWERED as error:
        return _unanswered(at, error, secret="key", question="models", form=f"check that {at.url} ends in /v1")
    if missing := [model for model in models if listed and model not in listed]:
        return Finding(at.name, "warning", f"{at.where} does not list {', '.join(missing)}", f"set {at.model} to what it has")
    return Finding(at.name, "ok", f"{', '.join(models)} at {at.where}, {'key set' if at.has_secret else 'without a key'}")


def _hosted(settings: "Settings") -> Iterator[Finding]:
    """Asks the hosted detectors' endpoint whose token this is, which costs nothing. A setting that cannot be used is told elsewhere."""
    from pressroom.errors import PressroomError
    from pressroom.llm.urls import is_url

    base, token = settings.replicate_base_url, settings.replicate_api_token
    try:
        is_asked = settings.hosted_inference and is_url(base)
    except PressroomError:
        return
    if not is_asked or token is None:
        return
    at = Place("hosted detectors", base, "REPLICATE_BASE_URL", "REPLICATE_API_TOKEN")
    try:
        user = _asked(f"{base.rstrip('/').removesuffix('/v1')}/v1/account", token.get_secret_value())["username"]
    except UNANSWERED as error:
        yield _unanswered(at, error, secret="token", question="account", form="check REPLICATE_BASE_URL")
    else:
        yield Finding(at.name, "ok", f"reachable at {at.where}, token of {user}")


def _asked(url: str, key: str) -> Any:
    """The JSON document at `url`. The key goes to this address only: redirects are not followed. Raises one of UNANSWERED."""
    import json
    import urllib.request
    from http.client import HTTPException

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object, **__: object) -> None:
            return None

    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.build_opener(Stay).open(request, timeout=REACH_WITHIN_S) as answer:
            return json.load(answer)
    except HTTPException as error:
        raise ValueError("what is there speaks no HTTP") from error


def _unanswered(at: Place, error: Exception, *, secret: str, question: str, form: str) -> Finding:
    """An endpoint refuses the key, answers otherwise than hoped, or not at all: which of them, and what to do. `form` mends a URL."""
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        if error.code in (401, 403) and not at.has_secret:
            return Finding(at.name, "problem", f"{at.where} wants a {secret} ({error.code})", f"set {at.secret}")
        if error.code in (401, 403):
            return Finding(at.name, "problem", f"{at.where} refuses the {secret} ({error.code})", f"correct {at.secret}")
        found = f"{at.where} answers {error.code} to the question for its {question}"
        return Finding(at.name, "warning", found, f"try it, it may work; else {form}")
    if isinstance(error, OSError):
        reason = getattr(error, "reason", error)
        advice = f"correct {at.url}, or look at the network"
        return Finding(at.name, "problem", f"{at.where} cannot be reached: it does not answer ({reason})", advice)
    return Finding(at.name, "warning", f"{at.where} does not tell its {question} in the usual form", form)


def _dagster(settings: "Settings") -> Finding:
    folder = settings.dagster_home or Path.cwd()
    what = "DAGSTER_HOME" if settings.dagster_home else "the current folder"
    if (folder / "dagster.yaml").is_file():
        return Finding("Dagster", "ok", f"{folder.absolute() / 'dagster.yaml'}")
    return Finding(
        "Dagster", "warning", f"no dagster.yaml in {what} ({folder.absolute()})", "work in the project's folder, or set DAGSTER_HOME"
    )


def _settings(settings: "Settings") -> Finding:
    """The names of what is set, here or in .env, with the values that are no secret."""
    from pydantic import SecretStr

    shown = []
    for name in sorted(settings.model_fields_set):
        alias = type(settings).model_fields[name].validation_alias
        value = getattr(settings, name)
        text = "(set)" if isinstance(value, SecretStr) else _without_login(str(value))
        shown.append(f"{alias or f'PRESSROOM_{name.upper()}'}={text}")
    return Finding("settings", "ok", "\n".join(shown) or "all at their defaults")


def _without_login(url: str) -> str:
    import re

    return re.sub(r"//[^/@]*@", "//", url)
