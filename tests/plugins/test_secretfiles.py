"""The plugin `cloacina-secretfiles`, which contributes by the hook `cloacina_secret_providers`."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.pages import ROOT
from support.runs import PATIENCE, open_runtime, workflow_of

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import (
    ConfigurationError,
    InputError,
    SecretMissingError,
    SecretProviderError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.context import Context
from cloacina_core.model.secret import WHOLE, SecretValue
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.secret_providers import place_of
from cloacina_core.runtime.secrets import OpenedOnce, Secrets
from cloacina_core.runtime.shared_engines import environment_of_tenant
from cloacina_core.runtime.view import StoreView
from cloacina_core.settings import Settings, read_settings

VALUE = "correct horse battery staple"


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / "cloacina-secretfiles" / "src"))
    return importlib.import_module("cloacina_secretfiles.hooks")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of secrets that is as it should be."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    put(folder / "crm")
    return folder


def put(path: Path, value: str | bytes = VALUE, mode: int = 0o600) -> None:
    path.write_bytes(value if isinstance(value, bytes) else value.encode())
    path.chmod(mode)


@pytest.fixture
def open_view(hooks: ModuleType, tmp_path: Path) -> Iterator[Callable[..., StoreView]]:
    """Return what opens a store some of whose secrets are kept elsewhere."""
    opened: list[StoreView] = []

    def open_view(*rules: str) -> StoreView:
        plugins = Plugins()
        plugins.add(hooks, "secretfiles")
        url = f"sqlite:///{tmp_path / 'store.db'}"
        settings = Settings(home=tmp_path, database_url=url, secret_providers=rules)
        opened.append(StoreView(settings, SystemClock(), plugins))
        return opened[-1]

    yield open_view
    for view in opened:
        view.close()


@pytest.fixture
def read(open_view: Callable[..., StoreView], folder: Path) -> Callable[..., SecretValue]:
    """Return what reads a secret in the folder."""
    return lambda name, kind="files", options="": OpenedOnce(
        open_view(f"*={kind}:{folder}{options}")
    ).read(name, Stop())


def kubernetes(folder: Path, values: dict[str, str]) -> None:
    """Fill a folder as Kubernetes does: links to a folder with a date, over one that is moved."""
    folder.mkdir(exist_ok=True)
    dated = folder / "..2026_11_28"
    dated.mkdir()
    (folder / "..data").symlink_to(dated.name)
    for name, value in values.items():
        put(dated / name, value, 0o644)
        (folder / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize("kind", ["files", "mounted"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_is_a_secret(read: Callable[..., SecretValue], folder: Path, kind: str, end: str):
    put(folder / "crm", VALUE + end)

    assert read("crm", kind).parts == {WHOLE: VALUE}


def test_a_folder_is_a_secret_with_fields(read: Callable[..., SecretValue], folder: Path):
    (folder / "db").mkdir(mode=0o700)
    put(folder / "db" / "user", "ann")
    put(folder / "db" / "password")

    value = read("db", options="?public=user&public=host")

    assert value == SecretValue({"user": "ann", "password": VALUE}, frozenset({"user"}))


def test_what_kubernetes_mounts_is_read(read: Callable[..., SecretValue], folder: Path):
    kubernetes(folder / "db", {"password": VALUE})
    (folder / "crm").unlink()
    kubernetes(folder, {"crm": VALUE})
    folder.chmod(0o1777)

    assert read("crm", "mounted").parts == {WHOLE: VALUE}
    assert read("db", "mounted").parts == {"password": VALUE}


@pytest.mark.parametrize("times", [1, 9])
def test_fields_are_of_one_moment(
    read: Callable[..., SecretValue],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
):
    kubernetes(folder / "db", {"password": "the password before", "user": "the user before"})
    opened, left = os.fdopen, list(range(times))

    def swap(*arguments: Any) -> Any:
        if left:
            dated, link = folder / "db" / f"..{left.pop()}", folder / "db" / "..new"
            dated.mkdir()
            for field in ("password", "user"):
                put(dated / field, f"the {field} after", 0o644)
            link.symlink_to(dated.name)
            link.rename(folder / "db" / "..data")
        return opened(*arguments)

    monkeypatch.setattr(os, "fdopen", swap)

    if times == 1:
        after = {"password": "the password after", "user": "the user after"}
        assert read("db", "mounted").parts == after
    else:
        with pytest.raises(SecretProviderError, match="it changes all the time"):
            read("db", "mounted")


@pytest.mark.parametrize("name", ["missing", "db"])
def test_a_file_that_is_not_there_is_a_secret_that_is_missing(
    read: Callable[..., SecretValue], name: str
):
    with pytest.raises(SecretMissingError, match=f"there is no secret '{name}' in folder"):
        read(name)


@pytest.mark.parametrize("kind", ["files", "mounted"])
@pytest.mark.parametrize(
    "name",
    ["../outside", "a/../../outside", "/etc/passwd", "..", ".", "", ".hidden", "crm\x00", "crm/"],
)
def test_a_name_that_leads_elsewhere_is_refused(
    read: Callable[..., SecretValue], folder: Path, kind: str, name: str
):
    put(folder.parent / "outside")
    put(folder / ".hidden")

    with pytest.raises(SecretProviderError, match="no name of a secret"):
        read(name, kind)


@pytest.mark.parametrize("kind", ["files", "mounted"])
def test_a_folder_that_is_not_there_is_no_answer(
    read: Callable[..., SecretValue], folder: Path, kind: str
):
    folder.rename(folder.with_name("not-mounted-yet"))

    with pytest.raises(SecretProviderError, match="there is no such folder"):
        read("crm", kind)


@pytest.mark.parametrize("kind", ["files", "mounted"])
@pytest.mark.parametrize("target", ["../outside", "{}/outside", ".."])
def test_a_link_out_of_the_folder_is_refused(
    read: Callable[..., SecretValue], folder: Path, kind: str, target: str
):
    put(folder.parent / "outside")
    (folder / "link").symlink_to(target.format(folder.parent))

    with pytest.raises(SecretProviderError, match="link"):
        read("link", kind)


def test_in_a_folder_of_files_no_link_is_followed(read: Callable[..., SecretValue], folder: Path):
    (folder / "link").symlink_to("crm")
    (folder / "real").mkdir(mode=0o700)
    put(folder / "real" / "password")
    (folder / "db").symlink_to("real")

    for name in ("link", "db"):
        with pytest.raises(SecretProviderError, match="a link is on the way"):
            read(name)


@pytest.mark.parametrize(
    ("kind", "mode", "refused"),
    [
        ("files", 0o640, True),
        ("files", 0o604, True),
        ("files", 0o400, False),
        ("mounted", 0o444, False),
        ("mounted", 0o664, True),
        ("mounted", 0o646, True),
    ],
)
def test_what_others_may_do_to_a_file_decides(
    read: Callable[..., SecretValue], folder: Path, kind: str, mode: int, refused: bool
):
    (folder / "crm").chmod(mode)

    if refused:
        with pytest.raises(SecretProviderError, match=f"has mode {mode:04o}: others may"):
            read("crm", kind)
    else:
        assert read("crm", kind).parts == {WHOLE: VALUE}


@pytest.mark.parametrize(
    ("kind", "mode"), [("files", 0o777), ("files", 0o1777), ("mounted", 0o777)]
)
def test_a_folder_that_others_may_change_is_refused(
    read: Callable[..., SecretValue], folder: Path, kind: str, mode: int
):
    folder.chmod(mode)

    with pytest.raises(SecretProviderError, match=f"a folder of it has mode {mode:04o}"):
        read("crm", kind)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(read: Callable[..., SecretValue], folder: Path):
    os.chown(folder / "crm", 12345, 12345)

    with pytest.raises(SecretProviderError, match="belongs to user 12345"):
        read("crm")


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"sesame", "6 characters"), (b"sesame\xff open", "UTF-8"), (b"sesame" * 20_000, "65536")],
)
def test_what_can_not_be_a_secret_is_refused_and_not_quoted(
    read: Callable[..., SecretValue], folder: Path, value: bytes, reason: str
):
    put(folder / "crm", value)

    with pytest.raises(SecretProviderError, match=reason) as caught:
        read("crm")
    assert "sesame" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_a_pipe_is_refused_and_not_waited_for(read: Callable[..., SecretValue], folder: Path):
    os.mkfifo(folder / "pipe", 0o600)

    with pytest.raises(SecretProviderError, match="isn't a regular file"):
        read("pipe")


@pytest.mark.parametrize("place", ["files", "files:secrets", "mounted:/x?mode=7", "vault:x"])
def test_a_place_that_means_nothing_is_refused(open_view: Callable[..., StoreView], place: str):
    with pytest.raises(ConfigurationError, match="secret_providers"):
        OpenedOnce(open_view(f"*={place}")).read("crm", Stop())


def test_the_first_rule_that_fits_counts_and_the_store_has_the_others():
    rules = ["crm=a:1", "crm-*=b:2", "db*=c:3"]

    places = [place_of(rules, name) for name in ("crm", "crm-x", "db", "crmx", "x")]

    assert places == ["a:1", "b:2", "c:3", None, None]


@pytest.mark.parametrize(
    "rule",
    [
        *("crm", "=files:/x", "c*m=files:/x", "../x=files:/x", "crm=:/x"),
        *("*=files:/x,crm=files:/y", "a-*=files:/x,a-b-*=files:/y", "a=files:/x,a=files:/y"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(tmp_path: Path, rule: str):
    with pytest.raises(ConfigurationError, match="secret_providers"):
        read_settings({"HOME": str(tmp_path), "CLOACINA_SECRET_PROVIDERS": rule}, tmp_path)


def test_what_a_provider_answers_for_is_not_set_in_the_store(
    open_view: Callable[..., StoreView], folder: Path
):
    view = open_view(f"crm=files:{folder}")

    with pytest.raises(InputError, match="is asked for from files:"):
        Secrets.of(view).set("crm", VALUE)
    Secrets.of(view).set("db", VALUE)

    assert OpenedOnce(view).read("db", Stop()).parts == {WHOLE: VALUE}


def test_a_tenant_has_the_folder_of_its_own_home_and_no_other(
    hooks: ModuleType, tmp_path: Path, folder: Path
):
    project = tmp_path / "pyproject.toml"  # that of the administrator, below which homes are
    project.write_text(f'[tool.cloacina]\nsecret_providers = ["*=files:{folder}"]')
    plugins, values = Plugins(), {}
    plugins.add(hooks, "secretfiles")
    for tenant in ("acme", "zenith"):
        home = tmp_path / "home" / "tenants" / tenant
        (home / "secrets").mkdir(mode=0o700, parents=True)
        put(home / "secrets" / "crm", f"the password of {tenant}")
        rule = f'["db=files:{home / "secrets"}", "crm=files:{home / "secrets"}"]'
        (home / "config.toml").write_text(f"secret_providers = {rule}")
        environment = environment_of_tenant({}, home, f"sqlite:///{home / 'cloacina.db'}")
        view = StoreView(read_settings(environment, home).settings, SystemClock(), plugins)
        values[tenant] = OpenedOnce(view).read("crm", Stop()).parts[WHOLE]
        with pytest.raises(SecretMissingError):
            OpenedOnce(view).read("crm-of-the-administrator", Stop())
        view.close()

    assert values == {tenant: f"the password of {tenant}" for tenant in ("acme", "zenith")}


def test_a_task_is_given_what_a_file_has_and_it_is_told_and_kept_nowhere(
    hooks: ModuleType, tmp_path: Path, folder: Path
):
    def sign_in(context: Context) -> dict[str, object]:
        sys.stdout.write(f"signing in with {context.secret('crm')}\n")
        return {"length": len(context.secret("crm"))}

    plugins = Plugins()
    plugins.add(hooks, "secretfiles")
    workflow = workflow_of({"a": []}, functions={"a": sign_in})
    workflow.secrets = ("crm",)
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_runtime(
        tmp_path / "home", url, plugins=plugins, secret_providers=(f"*=files:{folder}",)
    ) as runtime:
        result = runtime.run(workflow, timeout=PATIENCE)
        said = [line.text for line in runtime.logs(result.run_id)]

    assert result.context["length"] == len(VALUE)
    assert said == ["signing in with [secret crm]"]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and folder != path.parent]
    assert [path for path in written if VALUE.encode() in path.read_bytes()] == []
