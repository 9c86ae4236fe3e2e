"""`pressroom demo` and `pressroom dev`."""

from pathlib import Path

import typer

from cli.output import JsonFlag, emit, out, say
from pressroom.errors import BadInput

EXAMPLES = Path("examples")


def demo(json: JsonFlag = False) -> None:
    """Runs today's content for the example sites, and screens an example video, through the real Dagster jobs."""
    from cli.example import put_example, screen_uploads, screened, show_videos
    from cli.executing import RunFailed, dagster_instance, progress
    from cli.run import run_day, show_days
    from pressroom.accounts.sites import read_sites
    from pressroom.llm.models import model_routes
    from pressroom.objects.opening import open_objects
    from pressroom.settings import load_settings
    from pressroom.store.engine import open_store
    from pressroom.store.sites import apply_site

    settings = load_settings()
    model_routes(settings)  # a missing key, a wrong table or URL is said before anything starts
    sites = read_sites(sorted((EXAMPLES / "sites").glob("*.yaml")))
    if not sites:
        raise BadInput(f"no example sites in {EXAMPLES.absolute() / 'sites'}: run the demo in the project's folder")
    documents, objects = [], open_objects(settings)
    with open_store(settings) as store, dagster_instance() as instance:
        with store.transaction() as session:
            for site in sites:
                apply_site(session, site)
        put_example(objects, sites[0])
        for site in sites:
            with progress(store, site.name):
                document, outcome = run_day(settings, store, instance, site, None, EXAMPLES / "keywords" / f"{site.slug}.csv")
            documents.append(document)
            if not outcome.ok:
                raise RunFailed(outcome)
        with progress(store, "An example video"):
            screen_uploads(instance)
        videos = screened(store, objects, sites[0])
    if json:
        emit({"days": documents, "videos": videos})
        return
    show_days(documents)
    show_videos(videos)
    if settings.llm_kind == "offline":
        out.print("Written by the offline writer, for demos and tests; with OPENAI_API_KEY set, a model writes.", soft_wrap=True)
    out.print("Next: make dev, then open http://localhost:3000")


def dev(port: int = typer.Option(3000, help="Port of the Dagster UI.")) -> None:
    """Starts the database, migrates it and runs `dg dev`, with schedules and sensors. Ctrl-C ends all of it."""
    import os
    import signal
    import subprocess
    import sys

    from pressroom.settings import load_settings
    from pressroom.store.embedded import stop_server
    from pressroom.store.engine import open_store

    settings = load_settings()
    open_store(settings).close()
    say(f"Dagster UI: http://localhost:{port}   (Ctrl-C ends it)")
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        if not stopping:  # a second signal would make dg leave its processes behind
            server.send_signal(signal.SIGINT)
        stopping = True

    # Before dg starts: it would inherit an ignored SIGINT, as a shell gives to what it starts with "&", and never stop.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    # dg warns of an environment that is not the active one, and of a missing home: the folder with dagster.yaml is one.
    environment = {"DAGSTER_HOME": str(Path.cwd())} | os.environ | {"VIRTUAL_ENV": sys.prefix}
    command = [str(Path(sys.executable).with_name("dg")), "dev", "--port", str(port)]
    # In a session of its own, so that Ctrl-C reaches it once, through us.
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        code = server.wait()
    finally:
        if settings.database_url is None:
            stop_server(settings.home)
    raise typer.Exit(0 if stopping else 3 if code else 0)
