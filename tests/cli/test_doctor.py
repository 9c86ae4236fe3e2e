"""`pressroom doctor` finds what is wrong, says what to do, and never shows a secret."""

import datetime as dt
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from cli.doctor import INSTEAD, doctor, ending
from pressroom.llm.prices import price_of
from simulators.replicate import ReplicateSimulator

KEY = "sk-secret-of-mine"
app = typer.Typer()
app.command()(doctor)


def examined(environment: dict[str, str], **more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    result: Result = CliRunner().invoke(app, ["--json"], env=environment | more)
    assert KEY not in result.output
    return result.exit_code, {check["name"]: check for check in json.loads(result.stdout)["checks"]}


@contextmanager
def endpoint(status: int, body: str = "", headers: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """A loopback model endpoint that answers every question alike; yields its base URL and the keys it was shown."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", keys
        server.shutdown()


def test_a_machine_without_key_is_usable(environment: dict[str, str]) -> None:
    code, checks = examined(environment)
    assert code == 0, "nothing but Python is needed"
    assert checks["database"]["state"] == checks["migrations"]["state"] == checks["model"]["state"] == "ok"
    assert checks["sites"] == {"name": "sites", "state": "warning", "found": "none", "advice": "pressroom site apply examples/sites/*.yaml"}


def test_the_table_shows_marks_and_advice(environment: dict[str, str]) -> None:
    result = CliRunner().invoke(app, [], env=environment)
    assert "✓" in result.stdout
    assert "!" in result.stdout
    assert "pressroom site apply" in result.stdout


def test_a_database_that_does_not_answer_is_a_problem_with_advice(environment: dict[str, str]) -> None:
    code, checks = examined(environment, PRESSROOM_DATABASE_URL=f"postgresql://desk:{KEY}@127.0.0.1:1/press")
    assert code == 2
    assert checks["database"]["state"] == "problem"
    assert "127.0.0.1:1/press does not answer" in checks["database"]["found"]
    assert "PRESSROOM_DATABASE_URL" in checks["database"]["advice"]


def test_a_home_that_cannot_be_written_is_a_problem(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, checks = examined(environment, PRESSROOM_HOME=str(tmp_path / "file"))
    assert code == 2
    assert checks["home"]["state"] == "problem"
    assert "PRESSROOM_HOME" in checks["home"]["advice"]


def test_a_malformed_setting_is_a_problem_and_not_a_crash(environment: dict[str, str]) -> None:
    code, checks = examined(environment, PRESSROOM_LLM="telepathy")
    assert code == 2
    assert checks["settings"]["found"].startswith("PRESSROOM_LLM:")


def test_openai_without_a_key_is_a_problem(environment: dict[str, str]) -> None:
    code, checks = examined(environment, PRESSROOM_LLM="openai")
    assert code == 2
    assert checks["model"]["advice"] == "set OPENAI_API_KEY"


def with_model(environment: dict[str, str], base: str) -> tuple[int, dict[str, Any]]:
    code, checks = examined(environment, PRESSROOM_LLM="openai", OPENAI_API_KEY=KEY, OPENAI_BASE_URL=base, PRESSROOM_LLM_MODEL="small")
    assert "OPENAI_API_KEY=(set)" in checks["settings"]["found"]
    return code, checks["model"]


def own_provider(environment: dict[str, str], folder: Path, base: str, **entry: str) -> tuple[int, dict[str, Any]]:
    """What is found of a provider of one's own, called local, that writes the drafts."""
    table = folder / "models.yaml"
    provider = {"base_url": base, **entry}
    table.write_text(json.dumps({"providers": {"local": provider}, "purposes": {"draft": {"provider": "local", "model": "small"}}}))
    more = {"PRESSROOM_LLM": "auto", "PRESSROOM_MODELS": str(table), "OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY}
    with endpoint(200, '{"data": [{"id": "gpt-4.1-mini"}]}') as (openai, _):
        code, checks = examined(environment, **more, OPENAI_BASE_URL=openai)
    return code, checks["model (local)"]


def test_a_provider_of_ones_own_is_told_apart_from_the_endpoint_of_the_settings(environment: dict[str, str], tmp_path: Path) -> None:
    """Its URL, key and model stand in the table, or in the variable that the table names: OPENAI_… would be the wrong place to look."""
    place = "the provider local in PRESSROOM_MODELS"
    code, dead = own_provider(environment, tmp_path, "http://127.0.0.1:1/v1")
    assert (code, dead["state"], dead["advice"]) == (2, "problem", f"correct base_url of {place}, or look at the network")
    with endpoint(401) as (base, _):
        _, keyless = own_provider(environment, tmp_path, base)
        _, refused = own_provider(environment, tmp_path, base, key="GROQ_API_KEY")
    assert "wants a key (401)" in keyless["found"]
    assert keyless["advice"] == f"set key of {place}"
    assert "refuses the key (401)" in refused["found"]
    assert refused["advice"] == "correct GROQ_API_KEY"
    with endpoint(200, '{"data": [{"id": "large"}]}') as (base, _):
        code, other = own_provider(environment, tmp_path, base)
    assert (code, other["state"], other["advice"]) == (0, "warning", f"set model of {place} to what it has")
    with endpoint(200, '{"data": [{"id": "small"}]}') as (base, _):
        _, well = own_provider(environment, tmp_path, base)
        _, keyed = own_provider(environment, tmp_path, base, key="GROQ_API_KEY")
    assert well["found"].endswith("/v1, without a key")
    assert keyed["found"].endswith("/v1, key set")


def test_a_server_of_ones_own_by_its_url_alone_is_asked_and_may_want_a_key(environment: dict[str, str]) -> None:
    alone = {"PRESSROOM_LLM": "auto", "OPENAI_API_KEY": "", "PRESSROOM_LLM_MODEL": "small"}
    with endpoint(200, '{"data": [{"id": "small"}]}') as (base, _):
        code, checks = examined(environment, **alone, OPENAI_BASE_URL=base)
    assert (code, checks["model"]["state"]) == (0, "ok")
    assert checks["model"]["found"].endswith("without a key")
    with endpoint(401) as (base, _):
        code, checks = examined(environment, **alone, OPENAI_BASE_URL=base)
    assert (code, checks["model"]["state"], checks["model"]["advice"]) == (2, "problem", "set OPENAI_API_KEY")
    assert "wants a key (401)" in checks["model"]["found"]


def test_an_account_that_does_not_exist_is_a_problem(environment: dict[str, str]) -> None:
    code, checks = examined(environment, PRESSROOM_ACCOUNT="nope")
    assert (code, checks["account"]["state"], checks["account"]["advice"]) == (2, "problem", "correct PRESSROOM_ACCOUNT")


def test_an_endpoint_that_lists_the_model_is_well(environment: dict[str, str]) -> None:
    with endpoint(200, '{"data": [{"id": "small"}]}') as (base, keys):
        code, model = with_model(environment, base)
    assert (code, model["state"]) == (0, "ok")
    assert keys == [f"Bearer {KEY}"]


def test_a_refused_key_is_named(environment: dict[str, str]) -> None:
    with endpoint(401) as (base, _):
        code, model = with_model(environment, base)
    assert (code, model["state"]) == (2, "problem")
    assert "refuses the key (401)" in model["found"]


def test_an_endpoint_that_is_down_is_a_problem(environment: dict[str, str]) -> None:
    code, model = with_model(environment, "http://127.0.0.1:1/v1")
    assert (code, model["state"]) == (2, "problem")
    assert "does not answer" in model["found"]


def test_a_model_that_is_not_listed_and_an_odd_answer_are_warnings(environment: dict[str, str]) -> None:
    for body in ('{"data": [{"id": "large"}]}', "<html>hello</html>", "[]"):
        with endpoint(200, body) as (base, _):
            code, model = with_model(environment, base)
        assert (code, model["state"]) == (0, "warning"), body


def test_the_key_is_not_carried_to_where_an_endpoint_redirects(environment: dict[str, str]) -> None:
    with endpoint(200, '{"data": []}') as (other, shown), endpoint(302, headers={"Location": f"{other}/models"}) as (base, _):
        _, model = with_model(environment, base)
    assert shown == []
    assert model["state"] == "warning"


def test_a_listener_that_speaks_no_http_is_a_warning(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                connection.recv(4096)

        threading.Thread(target=greet, daemon=True).start()
        code, model = with_model(environment, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    assert (code, model["state"]) == (0, "warning")


@pytest.mark.parametrize(
    ("path", "token", "code", "state", "found", "advice"),
    [
        ("", KEY, 0, "ok", "reachable at http://127.0.0.1:", ""),
        ("/v1", KEY, 0, "ok", "token of simulated", ""),
        ("", "r8_other", 2, "problem", "refuses the token (401)", "correct REPLICATE_API_TOKEN"),
        ("/elsewhere", KEY, 0, "warning", "answers 404 to the question for", "try it, it may work; else check REPLICATE_BASE_URL"),
    ],
)
def test_the_hosted_detectors_are_asked_whose_token_it_is(
    environment: dict[str, str], path: str, token: str, code: int, state: str, found: str, advice: str
) -> None:
    with ReplicateSimulator(token=KEY) as simulator:
        ended, checks = examined(environment, REPLICATE_API_TOKEN=token, REPLICATE_BASE_URL=simulator.base_url + path)
    hosted = checks["hosted detectors"]
    assert (ended, hosted["state"], hosted["advice"]) == (code, state, advice)
    assert found in hosted["found"]


def test_hosted_detectors_that_cannot_be_reached_are_a_problem_unless_nobody_asks_them(environment: dict[str, str]) -> None:
    dead = {"REPLICATE_API_TOKEN": KEY, "REPLICATE_BASE_URL": "http://127.0.0.1:1"}
    code, checks = examined(environment, **dead)
    assert (code, checks["hosted detectors"]["state"]) == (2, "problem")
    assert "cannot be reached" in checks["hosted detectors"]["found"]
    assert "REPLICATE_BASE_URL" in checks["hosted detectors"]["advice"]
    code, checks = examined(environment, **dead, PRESSROOM_INFERENCE="local")
    assert code == 0
    assert "hosted detectors" not in checks


@pytest.mark.parametrize("url", ["htp:/x", "not a url"])
@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "REPLICATE_BASE_URL"])
def test_an_address_that_is_none_is_a_problem_before_there_is_a_key(environment: dict[str, str], variable: str, url: str) -> None:
    code, checks = examined(environment, **{variable: url})
    assert code == 2
    assert checks[variable]["state"] == "problem"
    assert checks[variable]["found"].startswith(f"{variable}: expected a URL such as https://api.")


def test_the_end_of_a_model_is_said_and_warned_of_in_the_months_before_it() -> None:
    ends = dt.date(2027, 1, 14)
    found = [ending("gpt-4.1-mini", ends, ends - dt.timedelta(days=days)) for days in (91, 90, 1, 0)]
    assert [one.state for one in found] == ["ok", "warning", "warning", "problem"]
    assert found[1].found == "gpt-4.1-mini is shut down on 2027-01-14, in 90 days"
    assert "PRESSROOM_LLM_MODEL" in found[1].advice


def test_the_end_of_the_model_that_is_set_is_looked_up(environment: dict[str, str], tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    table.write_text("prices: [{model: m, since: 2026-01-01, ends: 2026-02-01, input: 1, output: 1}]", encoding="utf-8")
    with endpoint(200, json.dumps({"data": [{"id": "m"}]})) as (url, _):
        code, checks = examined(
            environment,
            OPENAI_API_KEY=KEY,
            OPENAI_BASE_URL=url,
            PRESSROOM_LLM="openai",
            PRESSROOM_LLM_MODEL="m",
            PRESSROOM_PRICES=str(table),
        )
    assert code == 2
    assert checks["model's end"]["found"] == "m was shut down on 2026-02-01"


def test_the_model_to_change_to_has_a_price_and_no_known_end() -> None:
    price = price_of(INSTEAD)
    assert price
    assert price.ends is None
