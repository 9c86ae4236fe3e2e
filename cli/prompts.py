"""`pressroom prompts`: what is asked of the models, in which words and at which version."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.days import day_of
from cli.output import JsonFlag, emit, out, say
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy.orm import Session

    from pressroom.llm.types import Request
    from pressroom.prompts.load import Prompt
    from pressroom.records import Site

CHARACTERS = 4  # a token of English, on average
CACHED_FROM = 1024  # tokens: no endpoint caches a shorter prefix

app = typer.Typer(help="Look at the prompts: list, show, render.", no_args_is_help=True)
Id = Annotated[str | None, typer.Argument(metavar="ID", help="A prompt of the list; with --file it may be left out.", show_default=False)]
VariantFile = Annotated[Path | None, typer.Option("--file", help="A variant of a prompt: a file of any name with the prompt's id.")]


@app.command(name="list")
def list_(json: JsonFlag = False) -> None:
    """Lists the prompts and their versions.

    `stable` is the size of the part that an endpoint could cache, before a site's words and the rules are filled in.
    """
    from pressroom.prompts import load as prompts

    found = [_summary(prompts.prompt(id)) for id in prompts.ids()]
    emit(found) if json else _show_list(found)


@app.command()
def show(id: Id = None, file: VariantFile = None, json: JsonFlag = False) -> None:
    """Shows the file of a prompt.

    The version goes to standard error, so that the output can be the start of a variant.
    """
    prompt = _chosen(id, file)
    if json:
        fields = {"instructions": prompt.instructions, "input": prompt.input, "variables": prompt.variables(), "text": prompt.text}
        emit(_summary(prompt) | fields)
    else:
        typer.echo(prompt.text, nl=False)  # the file and nothing else: `pressroom prompts show ideas > variant.md`
        say(f"{prompt.id}, version {prompt.version}")


@app.command()
def render(
    id: Id = None,
    site: Annotated[str | None, typer.Option(help="Slug of a site: what is asked for it, from the database.")] = None,
    date: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="The site's day; default: its own today.")] = None,
    idea: Annotated[
        str | None, typer.Option(help="Id of one of the day's ideas, or its beginning; default: the first. For drafts.")
    ] = None,
    variables: Annotated[Path | None, typer.Option(help="JSON or YAML with every variable, instead of a site.")] = None,
    file: VariantFile = None,
    json: JsonFlag = False,
) -> None:
    """Renders a prompt, and asks no model.

    With --site as the assets ask it first for the site and day, with --variables for what a file says.
    """
    from pressroom.llm.schema import strict_schema
    from pressroom.prompts.load import DIVIDER

    if site is not None and variables is not None:
        raise BadInput("--site and --variables do not go together: the site's own words come from the database, or all from the file")
    if site is None and variables is None:
        raise BadInput("name what to render for: --site SLUG (with --date, --idea), or --variables FILE")
    if variables is not None and (date or idea):
        raise BadInput(f"{'--date' if date else '--idea'} goes with --site: the file of --variables says everything by itself")
    prompt = _chosen(id, file)
    answer = _answer_of(prompt)
    prompt.check_schema(answer)
    if variables is not None:
        instructions, input = prompt.render(_read_variables(variables))
    else:
        assert site is not None
        request = _request(prompt, site, day_of("--date", date) if date else None, idea)
        instructions, input = request.instructions, request.input
    if json:
        document = {"id": prompt.id, "version": prompt.version, "instructions": instructions, "input": input}
        emit(document | {"schema": strict_schema(answer)})
    else:
        typer.echo(f"{instructions}\n\n{DIVIDER}\n{input}")
        stable = f"some {_tokens(instructions):,} tokens of instructions; endpoints cache from {CACHED_FROM:,}"
        say(f"{prompt.id}, version {prompt.version}: {stable}")


def _chosen(id: str | None, file: Path | None) -> "Prompt":
    """The prompt of that id, or its variant. Raises BadInput when there is none, and when the two do not belong together."""
    from pressroom.prompts import load as prompts

    if file is None:
        if id is None:
            raise BadInput(f"name a prompt, or a variant with --file; there are {', '.join(prompts.ids())}")
        return prompts.prompt(id)
    variant = prompts.variant(file)
    if id not in (None, variant.id):
        raise BadInput(f"{file}: front matter id: expected {id}, not {variant.id}")
    return variant


def _answer_of(prompt: "Prompt") -> "type[BaseModel]":
    """The model of the answer that the product asks this prompt for."""
    from pressroom.planner import ideas
    from pressroom.planner.briefs import IdeaAnswer
    from pressroom.platforms.registry import platforms

    answers: dict[str, type[BaseModel]] = {platform.prompt: platform.structure for platform in platforms().values()}
    answers[ideas.PROMPT] = IdeaAnswer
    if prompt.id not in answers:
        raise BadInput(f"prompt {prompt.id}: nothing asks it yet, so that it has no answer to render for")
    return answers[prompt.id]


def _request(prompt: "Prompt", slug: str, day: dt.date | None, idea: str | None) -> "Request[Any]":
    """What the assets ask first with this prompt for the site and day. Raises BadInput when they would have nothing to ask for."""
    from cli.opening import open_desk
    from pressroom.planner import ideas
    from pressroom.settings import load_settings
    from pressroom.store.sites import site_by_slug

    if idea is not None and prompt.id == ideas.PROMPT:
        raise BadInput(f"--idea goes with the prompts of drafts: {prompt.id} asks for the ideas themselves")
    settings = load_settings()
    with open_desk(settings) as store, store.transaction() as session:
        site = site_by_slug(session, slug, account=settings.account)
        day = day or dt.datetime.now(site.zone).date()
        return _ideas_request(session, prompt, site, day) if prompt.id == ideas.PROMPT else _draft_request(session, prompt, site, day, idea)


def _ideas_request(session: "Session", prompt: "Prompt", site: "Site", day: dt.date) -> "Request[Any]":
    """As the asset planner/ideas asks it."""
    from pressroom.planner.briefs import brief_for
    from pressroom.planner.ideas import first_request
    from pressroom.planner.versions import clustering_input
    from pressroom.store.content import topic_memory
    from pressroom.store.keywords import clustering_of, keywords_on

    known = keywords_on(session, site.id, day)
    clusters = clustering_of(session, site.id, clustering_input(known, site))
    brief = brief_for(site, day, clusters, known, topic_memory(session, site.id, day))
    if not brief:
        raise BadInput(f"site '{site.slug}' has no clusters of its keywords on {day}: materialise planner/clusters, or name another --date")
    return first_request(brief, prompt)


def _draft_request(session: "Session", prompt: "Prompt", site: "Site", day: dt.date, idea: str | None) -> "Request[Any]":
    """As the assets of the drafts ask it for one idea: the first of the day whose id begins with `idea`."""
    from pressroom.platforms.registry import platforms
    from pressroom.store.content import ideas_on
    from pressroom.store.keywords import keywords_on
    from pressroom.writer.briefs import draft_briefs
    from pressroom.writer.drafts import first_request

    ideas = ideas_on(session, site.id, day)
    if not ideas:
        raise BadInput(f"site '{site.slug}' has no ideas on {day}: materialise planner/ideas, or name another --date")
    chosen = [one for one in ideas if str(one.id).startswith(idea or "")]
    if not chosen:
        there = ", ".join(str(one.id)[:8] for one in ideas)
        raise BadInput(f"site '{site.slug}' has no idea {idea} on {day}; there are {there}")
    (brief,) = draft_briefs(site, chosen[:1], keywords_on(session, site.id, day))
    platform = next(platform for platform in platforms().values() if platform.prompt == prompt.id)
    return first_request(brief, platform, prompt)


def _read_variables(path: Path) -> dict[str, Any]:
    """The variables of a JSON file (by its name), or of YAML. Raises BadInput that names the file."""
    import json

    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: no JSON, not UTF-8, or a date that does not exist
        raise BadInput(f"{path}: no valid {'JSON' if path.suffix == '.json' else 'YAML'} in UTF-8") from None
    if not isinstance(found, dict):
        raise BadInput(f"{path}: expected a mapping of the variables' names to their values, not {_kind(found)}")
    return found


def _kind(found: Any) -> str:
    kinds = {"NoneType": "nothing", "list": "a list", "str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
    return kinds.get(type(found).__name__, "a value")


def _summary(prompt: "Prompt") -> dict[str, Any]:
    stable = _tokens(prompt.instructions)
    return {
        "id": prompt.id,
        "purpose": prompt.purpose,
        "schema": prompt.schema,
        "version": prompt.version,
        "parameters": prompt.parameters,
        "stable_tokens": stable,
        "reaches_cache": stable >= CACHED_FROM,
    }


def _show_list(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    # Fits a terminal of 80 columns.
    table = Table("prompt", "purpose", "schema", "version", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in ("max tokens", "stable", "cached"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        most = one["parameters"].max_output_tokens
        figures = ["–" if most is None else f"{most:,}", f"{one['stable_tokens']:,}", "yes" if one["reaches_cache"] else "no"]
        table.add_row(one["id"], one["purpose"], one["schema"], one["version"], *figures)
    out.print(table)
    say(f"stable: tokens of the instructions, at {CHARACTERS} characters each; endpoints cache from {CACHED_FROM:,}")


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS)
