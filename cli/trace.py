"""`pressroom trace ID`: where a sentence comes from."""

from typing import Annotated, Any

import typer

from cli.output import JsonFlag, emit, out


def trace(
    id: Annotated[str, typer.Argument(help="Id of a draft or an idea, or at least its first 8 characters.")], json: JsonFlag = False
) -> None:
    """Leads a draft or an idea back to its keywords, prompt version, model call, cost and run."""
    from cli.opening import open_desk
    from pressroom.settings import load_settings
    from pressroom.store.lineage import trace as lineage
    from pressroom.store.sites import site_by_slug

    settings = load_settings()
    with open_desk(settings) as store, store.transaction() as session:
        document = lineage(session, id)
        site_by_slug(session, document["idea"]["site"], account=settings.account)  # another account's is said
    if json:
        emit(document)
    else:
        out.print(_tree(document))


def _tree(document: dict[str, Any]) -> Any:
    from rich.markup import escape
    from rich.tree import Tree

    idea, draft = document["idea"], document.get("draft", {"versions": ()})
    tree = Tree(f"[bold]{document['kind']}[/] {document['id']}")
    for version in draft["versions"]:
        mark = "current" if version["number"] == draft["current_version"] else "candidate"
        node = tree.add(f"[bold]{draft['platform']}[/] version {version['number']} ({mark}, {draft['state']}, {version['origin']})")
        node.add(escape(_first_line(version["text"])))
        for violation in version["violations"]:
            node.add(f"[red]{escape(violation['message'])}[/]")
        _add_call(node, version["call"], version["run"])
    node = tree.add(
        f"[bold]idea[/] {escape(idea['title'])} ({idea['site']}, {idea['date']})" + (", superseded" if idea["superseded_at"] else "")
    )
    _add_call(node, idea["call"], idea["run"])
    keywords = tree.add(f"[bold]cluster[/] {escape(document['cluster']['name'])} {document['cluster']['id']}")
    for keyword in document["keywords"]:
        volume = f"{keyword['searches']} searches a month" if keyword["searches"] else "no volume"
        keywords.add(f"{escape(keyword['phrase'])}: {volume}, {escape(keyword['file'])} row {keyword['row']} ({keyword['format']})")
    return tree


def _add_call(node: Any, call: dict[str, Any] | None, run: dict[str, Any]) -> None:
    if call:
        cost = "unknown cost" if call["cost_usd"] is None else f"{call['cost_usd']:.6f} USD"
        tokens = f"{call['input_tokens']}+{call['output_tokens']} tokens"
        node.add(
            f"call {call['request_hash'][:12]}: {call['model']}, {tokens}, {cost}, answered {call['answered_at']:%Y-%m-%d %H:%M:%S} UTC"
        )
        node.add(f"prompt {call['prompt']}, version {call['prompt_version']}")
    node.add(f"run {run['id']}" + (f", {run['trigger']}" if run["trigger"] else ""))


def _first_line(text: str, most: int = 100) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "(no text)")
    return line if len(line) <= most else line[: most - 1] + "…"
