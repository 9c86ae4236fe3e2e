"""What a person gives is wrong: one line says what and where, nothing is written, and once it is right the same command completes."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pressroom.store.embedded import Place, ensure_server, stop_server
from tests.dagster.conftest import KEYWORDS, SITE_FILE, Desk
from tests.telling import Done, told

MakeDesk = Callable[..., Desk]
RUN = ("run", "brew", "--date", "2026-11-20", "--json")


@pytest.fixture
def bare(tmp_path: Path) -> Desk:
    """A folder without database or instance: what is refused there was refused before anything started."""
    return Desk(tmp_path, os.environ | {"PRESSROOM_HOME": str(tmp_path / "home"), "PRESSROOM_LLM": "offline"})


def test_the_bad_rows_of_a_file_are_named_and_the_others_are_kept(desk: MakeDesk) -> None:
    brew = desk()
    rows = KEYWORDS.splitlines()
    rows[3:3] = ["???,10", "cold brew,many"]
    (brew.folder / "mixed.csv").write_text("\n".join(rows), encoding="utf-8")
    done = brew.pressroom(*RUN, "--keywords", "mixed.csv")
    assert done.returncode == 0, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("mixed.csv, row 4: ")
    assert second.startswith("mixed.csv, row 5: ")
    counts = json.loads(done.stdout)["counts"]
    assert (counts["keywords"], counts["rejected"], counts["drafts"]) == (36, 2, 9)


@pytest.mark.long
def test_a_file_that_cannot_be_used_is_refused_whole_and_once_mended_the_same_command_completes(desk: MakeDesk) -> None:
    brew = desk()
    (brew.folder / "folder").mkdir()
    contents = {
        "undecodable.csv": (b"keyword,volume\ncaf\x81\x8d\x00,3\n", "UTF-8"),
        "columns.csv": (b"volume,cpc\n1,2\n3,4\n", "row 1: no phrase column"),
        "header.csv": (b"keyword,volume\n", "no rows below the header"),
        "empty.csv": (b"", "empty"),
        "line.csv": (b"keyword\nmoka pot\n" + b"x" * 1_100_000, "row 3: a line of 1,100,000 characters"),
        "rows.csv": (b"keyword,volume\n???,3\n", "row 2"),
        "missing.csv": (None, "No such file"),
        "folder": (None, "Is a directory"),
    }
    for name, (data, problem) in contents.items():
        if data is not None:
            (brew.folder / name).write_bytes(data)
        assert told(brew.pressroom(*RUN, "--keywords", name), 2, name, problem) is None
    assert not list((brew.folder / "home").rglob("*.csv")), "a refused file was put into the inbox"
    (brew.folder / "missing.csv").write_text(KEYWORDS, encoding="utf-8")
    assert len(brew.run("--keywords", "missing.csv")["drafts"]) == 9


WORST_NAME = '.it\'s "a" back\\slash\nand кофе [b].csv'
NAMES = [
    'it\'s "quoted".csv',
    "two words.csv",
    "кофе–コーヒー.csv",
    "back\\slash.csv",
    "two\nlines.csv",
    ".hidden.csv",
    "-dash.csv",
    "[b]x.csv",
]


@pytest.mark.parametrize("name", [WORST_NAME, *(pytest.param(name, marks=pytest.mark.long) for name in [*NAMES, "x" * 250])])
def test_a_file_may_have_any_name_that_the_system_takes(desk: MakeDesk, name: str) -> None:
    """A hidden file is not left in the inbox, a backslash is no folder, and a line end in a name makes no second line."""
    brew = desk()
    (brew.folder / name).write_text(KEYWORDS + "???,9\n", encoding="utf-8")
    done = brew.pressroom(*RUN, f"--keywords={name}")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "row 38" in done.stderr
    assert json.loads(done.stdout)["counts"]["keywords"] == 36


@pytest.mark.long
def test_a_file_in_the_inbox_whose_name_is_no_key_stays_there_and_the_others_are_imported(desk: MakeDesk) -> None:
    brew = desk()
    inbox = brew.folder / "home" / "objects" / "sites" / "brew" / "keywords" / "inbox"
    inbox.mkdir(parents=True)
    for name in ("back\\slash.csv", "x" * 250, "plain.csv"):
        (inbox / name).write_text(KEYWORDS + "???,9\n", encoding="utf-8")
        os.utime(inbox / name, (time.time() - 60,) * 2)  # a newer one might still be growing
    assert brew.run()["counts"]["keywords"] == 36
    assert [path.name for path in inbox.iterdir()] == ["back\\slash.csv"]


def test_site_files_are_applied_all_or_none(desk: MakeDesk) -> None:
    brew = desk()
    good = SITE_FILE.replace("brew", "good").replace("Brew", "Good")
    contents = {
        "key.yaml": (SITE_FILE.replace("slug: brew", "slug: second\ncolour: red"), "unknown key 'colour'"),
        "zone.yaml": (SITE_FILE.replace("Europe/Lisbon", "Mars/Olympus"), "time_zone: 'Mars/Olympus'"),
        "twice.yaml": (good, "slug 'good'"),
        "nothing.yaml": ("", "holds no site"),
        "broken.yaml": ("slug: [brew\n", "no valid YAML"),
        "list.yaml": ("- brew\n", "a mapping"),
        "missing.yaml": (None, "No such file"),
    }
    (brew.folder / "good.yaml").write_text(good, encoding="utf-8")
    for name, (text, problem) in contents.items():
        if text is not None:
            (brew.folder / name).write_text(text, encoding="utf-8")
        assert told(brew.pressroom("site", "apply", "good.yaml", name, "--json"), 2, name, problem) is None
    listed = json.loads(brew.pressroom("site", "list", "--json").stdout)
    assert [site["slug"] for site in listed] == ["brew"], "a site of a refused command was written"
    assert brew.pressroom("site", "apply", "good.yaml").returncode == 0


@pytest.mark.long
def test_an_unknown_site_and_a_day_outside_the_partitions_are_refused(desk: MakeDesk) -> None:
    brew = desk()
    told(brew.pressroom("run", "brwe", "--json"), 2, "site 'brwe'", "known are brew")
    told(brew.pressroom("run", "brew", "--date", "2025-12-31"), 2, "2025-12-31", "2026-01-01", "PRESSROOM_START_DATE")


@pytest.mark.long
def test_a_first_day_in_the_future_leaves_no_day_and_says_so(desk: MakeDesk) -> None:
    """In an interpreter of its own: the partitions are made when the definitions are imported."""
    brew = desk()
    command = [sys.executable, "-c", "import cli.main; cli.main.main()", "run", "brew"]
    late = brew.environment | {"PRESSROOM_START_DATE": "2999-01-01"}
    done = subprocess.run(command, cwd=brew.folder, env=late, capture_output=True, text=True, check=False)
    told(Done(done.returncode, done.stdout, done.stderr), 2, "2999-01-01", "PRESSROOM_START_DATE")


@pytest.mark.long
def test_a_day_without_any_keyword_says_where_to_put_them(desk: MakeDesk) -> None:
    brew = desk()
    document = told(brew.pressroom(*RUN), 2, "site 'brew' has no keywords", "keywords/inbox")
    assert (document["ideas"], document["drafts"], document["ok"]) == ([], [], False)
    assert document["problem"].startswith("site 'brew' has no keywords on 2026-11-20: put a keyword file into ")
    done = brew.run("--keywords", "keywords.csv")
    assert (len(done["drafts"]), done["ok"], done["problem"]) == (9, True, None)


@pytest.mark.long
def test_a_day_before_the_first_import_asks_for_a_file_of_its_own(desk: MakeDesk) -> None:
    """What a batch or a backfill of past days meets; the table does not count what the run never came to."""
    brew, past = desk(), "2026-11-02"
    brew.run("--keywords", "keywords.csv")
    done = brew.pressroom("run", "brew", "--date", past)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"site 'brew' has no keywords on {past}, they came later: 'pressroom run brew --date {past} --keywords FILE' imports a file for "
        "that day and those after it\n"
    )
    assert done.stdout.splitlines()[1].split() == ["brew", past, "–", "–", "0", "0", "0", "0", "0.0000"]
    assert len(brew.run("--keywords", "keywords.csv", day=past)["drafts"]) == 9
    assert len(brew.run(day="2026-11-03")["drafts"]) == 9, "the days after it have the file as well"


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("PRESSROOM_LLM", "openai", "OPENAI_API_KEY"),
        ("PRESSROOM_LLM", "nonsense", "offline"),
        ("PRESSROOM_MODELS", "/nowhere.yaml", "/nowhere.yaml cannot be read"),
        ("OPENAI_BASE_URL", "foo", "a URL such as"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1", "a URL such as"),
        ("PRESSROOM_LLM_MAX_IN_FLIGHT", "zero", "a whole number"),
        ("PRESSROOM_START_DATE", "soon", "a day, YYYY-MM-DD"),
        ("PRESSROOM_DATABASE_URL", "mysql://me:sesame@127.0.0.1/x", "postgresql://"),
        ("PRESSROOM_DATABASE_URL", "postgresql://me:sesame@127.0.0.1:port/x", "postgresql://user:password@host:port/database"),
        ("PRESSROOM_DATABASE_URL", "postgresql://me:open@sesame@127.0.0.1/x", "%40"),
        ("PRESSROOM_DATABASE_URL", "postgresql://me:sesame@127.0.0.1/x?colour=red", 'option "colour"'),
        ("PRESSROOM_DATABASE_URL", "postgresql://me:sesame@127.0.0.1:99999/x", '"99999"'),
        ("PRESSROOM_DATABASE_URL", "postgresql://me:sesame@127.0.0.1/x?sslmode=maybe", '"maybe"'),
    ],
)
def test_a_bad_setting_is_named_before_anything_starts(bare: Desk, variable: str, value: str, named: str) -> None:
    bare.environment |= {variable: value} if variable == "PRESSROOM_LLM" else {"PRESSROOM_LLM": "auto", variable: value}
    assert told(bare.pressroom(*RUN), 2, variable, named) is None
    assert not (bare.folder / "home").exists()


def test_a_date_that_is_none_is_refused_before_anything_starts(bare: Desk) -> None:
    told(bare.pressroom("run", "brew", "--date", "tomorrow"), 2, "--date tomorrow", "YYYY-MM-DD")
    assert not (bare.folder / "home").exists()


def test_a_database_that_is_not_there_is_told_at_once_and_the_same_command_completes_when_it_is(desk: MakeDesk) -> None:
    brew, listed = desk(), ("site", "list", "--json")
    right = brew.environment["PRESSROOM_DATABASE_URL"]
    brew.environment["PRESSROOM_DATABASE_URL"] = "postgresql://me:sesame@127.0.0.1:9/x"
    told(brew.pressroom(*RUN, "--keywords", "keywords.csv"), 3, "PRESSROOM_DATABASE_URL", "127.0.0.1:9/x does not answer")
    told(brew.pressroom(*listed), 3, "PRESSROOM_DATABASE_URL", "127.0.0.1:9/x does not answer")
    brew.environment["PRESSROOM_DATABASE_URL"] = right.replace("/test_", "/nosuch_")
    told(brew.pressroom(*RUN, "--keywords", "keywords.csv"), 2, "PRESSROOM_DATABASE_URL", "has no database", "create it")
    brew.environment["PRESSROOM_DATABASE_URL"] = right
    assert [site["slug"] for site in json.loads(brew.pressroom(*listed).stdout)] == ["brew"]


@pytest.mark.long
def test_a_database_that_takes_the_call_and_says_nothing_is_given_five_seconds(bare: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        bare.environment["PRESSROOM_DATABASE_URL"] = f"postgresql://me:sesame@127.0.0.1:{silent.getsockname()[1]}/x"
        began = time.monotonic()
        told(bare.pressroom(*RUN), 3, "PRESSROOM_DATABASE_URL", "does not answer", "timeout")
    assert time.monotonic() - began < 15


@pytest.fixture
def guarded_server(tmp_path: Path) -> Iterator[str]:
    """URL of a server that asks for the password, which is `open`."""
    home = tmp_path / "guarded"
    url = ensure_server(home).replace("postgresql+psycopg://postgres@", "postgresql://me:open@")
    try:
        with psycopg.connect(url.replace("me:open", "postgres"), autocommit=True) as connection:
            connection.execute("CREATE ROLE me LOGIN SUPERUSER PASSWORD 'open'")
            (Place.under(home).data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        stop_server(home)


@pytest.mark.long
def test_a_wrong_password_is_told_and_not_shown(bare: Desk, guarded_server: str) -> None:
    (bare.folder / "site.yaml").write_text(SITE_FILE, encoding="utf-8")
    bare.environment["PRESSROOM_DATABASE_URL"] = guarded_server.replace(":open@", ":sesame@")
    told(bare.pressroom("site", "apply", "site.yaml", "--json"), 2, "PRESSROOM_DATABASE_URL", "user me or the password")
    bare.environment["PRESSROOM_DATABASE_URL"] = guarded_server
    assert bare.pressroom("site", "apply", "site.yaml").returncode == 0


def test_a_home_that_is_a_file_is_named(desk: MakeDesk) -> None:
    brew = desk()
    (brew.folder / "file").write_text("x")
    brew.environment["PRESSROOM_HOME"] = str(brew.folder / "file")
    assert told(brew.pressroom(*RUN, "--keywords", "keywords.csv"), 3, "PRESSROOM_HOME", "Not a directory") is None
    del brew.environment["PRESSROOM_DATABASE_URL"]
    assert told(brew.pressroom(*RUN, "--keywords", "keywords.csv"), 2, "PRESSROOM_HOME", "Not a directory") is None


def test_an_instance_that_cannot_be_used_is_named(desk: MakeDesk) -> None:
    """No dagster.yaml, a broken one, one with an unknown key, and a DAGSTER_HOME that is not there or a file."""
    brew = desk()
    config = brew.folder / "dagster.yaml"
    right = config.read_text(encoding="utf-8")
    config.unlink()
    told(brew.pressroom(*RUN), 2, "no dagster.yaml in this folder", "DAGSTER_HOME")
    config.write_text("storage: [")
    told(brew.pressroom(*RUN), 2, "dagster.yaml")
    config.write_text("colour: red\n")
    told(brew.pressroom(*RUN), 2, "dagster.yaml", '"colour"')
    config.write_text(right, encoding="utf-8")
    for folder, problem in (("nowhere", "does not exist"), ("site.yaml", "not a directory")):
        brew.environment["DAGSTER_HOME"] = str(brew.folder / folder)
        assert told(brew.pressroom(*RUN), 2, "DAGSTER_HOME", folder, problem) is None


def test_a_reader_that_goes_away_is_no_error_and_an_output_that_is_full_is_told(bare: Desk) -> None:
    """`pressroom … --json | head -c 1`: the work is done, nobody is left to tell. The command is a real one, with an exit of its own."""
    command = f"'{sys.executable}' -c 'import cli.main; cli.main.main()' cluster --json keywords.csv"
    (bare.folder / "keywords.csv").write_text(KEYWORDS, encoding="utf-8")

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", line], cwd=bare.folder, env=bare.environment, capture_output=True, text=True, check=False)

    gone = shell(f"{command} > >(exec true); echo $?")
    assert gone.stdout.strip() == "0", gone.stderr
    assert gone.stderr == ""
    full = shell(f"{command} > /dev/full")
    assert full.returncode == 2, full.stderr
    assert full.stderr.splitlines() == [
        "pressroom: standard output: cannot be written (No space left on device); make room, or send it elsewhere"
    ]
