"""What tasks are given, and that nothing of it gets out: in threads, workers, and both databases.

Secrets are planted, and tasks are run that would let them out in every way. Then every byte that
was written is searched for them, in forms that are spelled out here.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import leaking
from support.canaries import CANARY, TOKEN, dumped, found_below, found_in, needles
from support.runs import PATIENCE, open_runtime, workflow_of
from support.workers import Bench, Descendants, FolderSource, plugins_with

from cloacina_core.cli import main
from cloacina_core.model.context import Context
from cloacina_core.model.event import EventType
from cloacina_core.model.status import RunStatus
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import RunHandle, Runtime

REFUSED = "cloacina_core.errors.SecretInContextError"

pytestmark = pytest.mark.slow


@pytest.fixture(params=["thread", "worker"])
def place(request: pytest.FixtureRequest) -> str:
    word: str = request.param
    return word


@pytest.fixture
def open_here(
    place: str, tmp_path: Path, store_url: str, descendants: Descendants
) -> Iterator[Callable[[], Runtime]]:
    """Return what opens a runtime that has secrets, and workflows that would let them out.

    It is opened by the test itself: pytest has other streams in fixtures.
    """
    code = tmp_path / "code"
    code.mkdir()
    opened: list[Runtime] = []
    workflows = [found for found in vars(leaking).values() if isinstance(found, Workflow)]

    def open_here() -> Runtime:
        where: dict[str, Any] = (
            {"workflows": workflows}
            if place == "thread"
            else {"plugins": plugins_with(FolderSource(code, leaking))}
        )
        runtime = open_runtime(tmp_path / "home", store_url, spill_bytes=1024, **where)
        opened.append(runtime)
        runtime.secrets.set("canary", CANARY)
        runtime.secrets.set("token", {"user": "ann", "key": TOKEN}, public=["user"])
        runtime.secrets.set(leaking.OTHER, "not for these workflows")
        return runtime

    yield open_here
    for runtime in opened:
        runtime.close()
    if place == "worker":
        assert descendants() == set()


def start(runtime: Runtime, place: str, workflow: Workflow, **options: Any) -> RunHandle:
    """Start one of the leaking workflows where a test wants it."""
    what = workflow if place == "thread" else f"leaking/{workflow.name}"
    return runtime.submit(what, **options)


def told_by_commands(run_id: str, home: Path, url: str) -> bytes:
    """Return all that the command line says of a run."""
    options = ["--json", "--home", str(home), "--database-url", url]
    commands = [
        ["runs", "list"],
        *(["runs", verb, run_id] for verb in ("show", "events", "logs", "explain")),
        ["secret", "list"],
        ["secret", "show", "canary"],
        ["engines", "list", "--all"],
    ]
    said = b""
    for command in commands:
        done = CliRunner().invoke(main, [*command, *options])
        assert done.exit_code == 0, done.output
        said += done.stdout_bytes + done.stderr_bytes
    return said


def test_the_search_finds_what_is_there():
    assert found_in(b"") == []
    assert set(found_in(b"".join(needles().values()))) == set(needles())
    assert found_in(TOKEN[:9].encode() + b"\n" + TOKEN[9:].encode()) != []


def test_whatever_tasks_do_with_secrets_nothing_of_them_is_stored_or_told(
    open_here: Callable[[], Runtime], place: str, tmp_path: Path, store_url: str
):
    runtime = open_here()
    result = start(runtime, place, leaking.leaks).result(PATIENCE)
    said = told_by_commands(result.run_id, tmp_path / "home", store_url)
    events = runtime.events(result.run_id)
    runtime.close()

    read = [(one.task, one.reason) for one in events if one.type is EventType.SECRETS_READ]
    assert {("prints", "canary, token"), ("returns", "canary"), ("waits", "token")} <= set(read)
    errors = {name: task.error and task.error.type for name, task in result.tasks.items()}
    refused = {name for name, error in errors.items() if error == REFUSED}
    assert refused == {
        *("returns", "returns_deep", "returns_as_a_key", "returns_much"),
        *("gives_as_a_param", "gives_in_the_context", "runs_by_name", "waits"),
    }
    assert str(errors["fails_by_name"]).endswith("leaking.Not[secret token.key]")
    assert b"[secret canary]" in said
    assert found_in(said) == []
    assert found_in(repr(result).encode()) == []
    assert found_in(dumped(store_url)) == []
    assert found_below(tmp_path) == {}


@pytest.mark.parametrize("place", ["worker"], indirect=True)
def test_nothing_gets_out_of_the_process_of_an_attempt(
    open_here: Callable[[], Runtime], place: str, tmp_path: Path, store_url: str
):
    runtime = open_here()
    result = start(runtime, place, leaking.processes).result(PATIENCE)
    said = told_by_commands(result.run_id, tmp_path / "home", store_url)
    runtime.close()

    errors = {name: task.error.type for name, task in result.tasks.items() if task.error}
    assert errors == {
        "crashes": "worker-crashed",
        "asks_for_more": "cloacina_core.errors.SecretNotDeclaredError",
    }
    assert b"about to crash with [secret token.key]" in said
    assert said.count(b"[secret canary]") >= 4
    assert found_in(said) == []
    assert found_in(dumped(store_url)) == []
    assert found_below(tmp_path) == {}


def test_no_process_has_a_secret_among_its_arguments_or_variables(
    open_here: Callable[[], Runtime], place: str, tmp_path: Path, descendants: Descendants
):
    handle = start(open_here(), place, leaking.waiting, context={"folder": str(tmp_path)})
    Bench.until((tmp_path / "began").exists)

    seen = b""
    for pid in [os.getpid(), *descendants()]:
        for name in ("cmdline", "environ"):
            seen += Path(f"/proc/{pid}/{name}").read_bytes()
    (tmp_path / "end").touch()

    assert handle.result(PATIENCE).status is RunStatus.SUCCEEDED
    assert b"python" in seen
    assert found_in(seen) == []


def workflow_that(function: Callable[[Context], object], *secrets: str) -> Workflow:
    workflow = workflow_of({"a": []}, functions={"a": function}, name="asking")
    workflow.secrets = secrets
    return workflow


def lengths(context: Context) -> dict[str, object]:
    return {"length": len(context.secret("canary"))}


@pytest.fixture
def open_with(tmp_path: Path) -> Iterator[Callable[..., Runtime]]:
    """Return what opens a runtime on SQLite."""
    opened: list[Runtime] = []

    def open_with(**options: Any) -> Runtime:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        opened.append(open_runtime(tmp_path / "home", url, **options))
        return opened[-1]

    yield open_with
    for runtime in opened:
        runtime.close()


def test_a_task_is_given_what_is_kept_when_it_asks(open_with: Callable[..., Runtime]):
    runtime, workflow = open_with(), workflow_that(lengths, "canary")
    runtime.secrets.set("canary", "a" * 10)
    first = runtime.run(workflow, timeout=PATIENCE)

    runtime.secrets.set("canary", "a" * 20)
    second = runtime.run(workflow, timeout=PATIENCE)

    assert (first.context["length"], second.context["length"]) == (10, 20)


def test_a_secret_that_nobody_set_is_missing(open_with: Callable[..., Runtime]):
    result = open_with().run(workflow_that(lengths, "canary"), timeout=PATIENCE)

    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretMissingError"
    assert result.error.message == (
        "there is no secret 'canary'; set it with: cloacina secret set canary"
    )


def test_a_secret_that_the_workflow_does_not_declare_is_refused(open_with: Callable[..., Runtime]):
    runtime = open_with()
    runtime.secrets.set("canary", CANARY)

    result = runtime.run(workflow_that(lengths, "token"), timeout=PATIENCE)

    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretNotDeclaredError"
    assert "Workflow(..., secrets=[...])" in result.error.message


def test_a_secret_whose_key_is_gone_is_unavailable(
    open_with: Callable[..., Runtime], tmp_path: Path
):
    open_with().secrets.set("canary", CANARY)
    (tmp_path / "home" / "secret.keys").unlink()

    result = open_with().run(workflow_that(lengths, "canary"), timeout=PATIENCE)

    assert result.error is not None
    assert result.error.type == "cloacina_core.errors.SecretUnavailableError"
    assert "; restore the key" in result.error.message


def test_engines_read_while_the_key_changes(open_with: Callable[..., Runtime]):
    runtime, workflow = open_with(), workflow_that(lengths, "canary")
    runtime.secrets.set("canary", CANARY)
    runtime.run(workflow, timeout=PATIENCE)

    open_with().secrets.rotate_key()

    assert runtime.run(workflow, timeout=PATIENCE).context["length"] == len(CANARY)
