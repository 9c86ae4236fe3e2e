"""The `pressroom` command. Each group of commands is one file beside this; each imports what it needs when it runs."""

import gc
import sys

import typer

from cli import batches, check, cluster, costs, db, demo, doctor, prompts, regenerate, retention, risks, run, screen, site, tasks, trace
from cli.eval import evaluate
from cli.output import guarded

app = typer.Typer(
    name="pressroom",
    help="An AI content desk: keywords become clusters, ideas, drafts and reports; videos become risk triggers and compliance reports.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.command("dev")(demo.dev)
app.command("run")(run.run)
app.command("regenerate")(regenerate.regenerate)
app.command("cluster")(cluster.cluster)
app.command("check")(check.check)
app.command("trace")(trace.trace)
app.command("costs")(costs.costs)
app.command("eval")(evaluate)
app.command("screen")(screen.screen)
app.command("retention")(retention.retention)
app.command("doctor")(doctor.doctor)
app.add_typer(site.app, name="site")
app.add_typer(prompts.app, name="prompts")
app.add_typer(risks.app, name="risks")
app.add_typer(tasks.app, name="tasks")
app.add_typer(batches.app, name="batches")
app.add_typer(db.app, name="db")


def main() -> None:
    # What a command imports, Dagster above all, is no garbage. To walk it again and again as it grows, and once more when the interpreter
    # ends, takes 1.5 s of a `pressroom run`.
    gc.set_threshold(50_000)
    code = guarded(app)
    gc.freeze()
    sys.exit(code)
