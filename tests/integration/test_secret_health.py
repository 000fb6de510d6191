"""What is said of secrets that a provider keeps: by the doctor, and by `cloacina secret`."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import vaulted
from support.pages import ROOT
from support.providers import VALUE, Provider, SilentProvider, answers, whole
from support.runs import PATIENCE, open_runtime
from support.workers import FolderSource, plugins_with

from cloacina_core.cli import main
from cloacina_core.errors import SecretMissingError, SecretProviderError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.finding import Finding
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.secret_health import findings
from cloacina_core.runtime.secrets import Secrets
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.view import StoreView
from cloacina_core.settings import Settings

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
PLUGIN = "cloacina-secretfiles"
WHO = "vaulted/asking, vaulted/hasty, vaulted/patient"


@pytest.fixture
def open_view(tmp_path: Path, store_url: str) -> Iterator[Callable[..., StoreView]]:
    """Return what opens a store, with a release that declares a secret, and maybe a provider."""
    code = tmp_path / "code"
    code.mkdir()
    opened: list[StoreView] = []

    def open_view(provider: Provider | None = None, rule: str = "*=test:x") -> StoreView:
        plugins = plugins_with(FolderSource(code, vaulted))
        rules = ()
        if provider is not None:
            plugins.add(provider, "vault")
            rules = (rule,)
        settings = Settings(home=tmp_path, database_url=store_url, secret_providers=rules)
        opened.append(StoreView(settings, SystemClock(), plugins))
        return opened[-1]

    yield open_view
    for view in opened:
        view.close()


def said(view: StoreView, patience: float = PATIENCE) -> list[tuple[str, str, str]]:
    found: list[Finding] = list(findings(view, Sources(view, view._plugins), patience))
    return [(one.what, one.verdict, one.detail) for one in found]


@ON_SQLITE
def test_a_provider_that_has_what_is_declared_answers(open_view: Callable[..., StoreView]):
    assert said(open_view(Provider(answers(whole())))) == [
        ("secrets in test:x", "ok", "a vault answers"),
        ("declared secrets", "ok", "1, none of them missing"),
    ]


def test_what_is_declared_and_nobody_has_is_told_with_who_declares_it(
    open_view: Callable[..., StoreView],
):
    missing = ("declared secrets", "warn", f"nobody has crm (for {WHO})")

    assert said(open_view()) == [missing]
    assert said(open_view(Provider(answers(None)))) == [
        ("secrets in test:x", "ok", "a vault answers"),
        missing,
    ]
    Secrets.of(open_view()).set("crm", VALUE)
    assert said(open_view()) == [("declared secrets", "ok", "1, none of them missing")]


@ON_SQLITE
def test_a_provider_is_asked_for_something_when_nothing_is_declared(
    open_view: Callable[..., StoreView],
):
    names: list[str] = []

    found = said(open_view(Provider(names.append), rule="other-*=test:x"))

    assert names == ["other-doctor"]
    assert found[0] == ("secrets in test:x", "ok", "a vault answers")


@ON_SQLITE
def test_a_provider_that_fails_is_told_and_what_it_said_is_not(
    open_view: Callable[..., StoreView],
):
    (finding, _) = said(open_view(Provider(answers(ValueError(VALUE)))))

    reason = "secret 'crm' can't be had from a vault: ValueError was raised"
    assert finding == ("secrets in test:x", "fail", reason)


@ON_SQLITE
def test_a_silent_provider_is_told_and_waited_for_once(open_view: Callable[..., StoreView]):
    silent = SilentProvider()

    (finding, _) = said(open_view(silent), patience=0.01)
    silent.told.set()

    assert finding[1] == "fail"
    assert "no answer within 0.01 s" in finding[2]


def test_a_stored_secret_that_a_provider_hides_is_told(open_view: Callable[..., StoreView]):
    Secrets.of(open_view()).set("crm", VALUE)

    view = open_view(Provider(answers(whole())))

    hidden = "crm: stored, and not used, since test:x is asked"
    assert ("hidden secrets", "warn", hidden) in said(view)
    assert [info.hidden_by for info in Secrets.of(view).all()] == ["test:x"]


def test_a_live_run_declares_what_it_may_ask_for(tmp_path: Path, store_url: str):
    silent, plugins = SilentProvider(), Plugins()
    plugins.add(silent, "vault")
    with open_runtime(
        tmp_path / "home",
        store_url,
        plugins=plugins,
        workflows=[vaulted.asking],
        secret_providers=("crm=test:x",),
    ) as runtime:
        handle = runtime.submit(vaulted.asking)
        silent.asked.wait(PATIENCE)
        view = StoreView(Settings(home=tmp_path, database_url=store_url), SystemClock(), Plugins())
        found = said(view)
        view.close()
        silent.told.set()
        handle.result(PATIENCE)

    assert found == [("declared secrets", "warn", "nobody has crm (for asking)")]


@ON_SQLITE
def test_programs_are_told_who_has_a_secret(open_view: Callable[..., StoreView]):
    told = answers(whole(), None, ValueError(VALUE))
    secrets = Secrets.of(open_view(Provider(told), rule="crm=test:x"))

    provided = secrets.provided("crm")

    assert provided is not None
    assert (provided.name, provided.provider, provided.fields) == ("crm", "test:x", ())
    assert secrets.provided("db") is None
    with pytest.raises(SecretMissingError, match="there is no secret 'crm' in a vault"):
        secrets.provided("crm")
    with pytest.raises(SecretProviderError, match="ValueError was raised"):
        secrets.provided("crm")


@pytest.fixture
def cli(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what calls commands where the plugin is installed, with a folder of secrets."""
    installed, folder = tmp_path / "installed", tmp_path / "secrets"
    metadata = installed / "cloacina_secretfiles-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PLUGIN}\nVersion: 0.1.0\n")
    entry_point = "[cloacina]\nsecretfiles = cloacina_secretfiles.hooks\n"
    (metadata / "entry_points.txt").write_text(entry_point)
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / PLUGIN / "src"))
    (folder / "db").mkdir(mode=0o700, parents=True)
    folder.chmod(0o700)
    for name, value in {"crm": VALUE, "db/user": "ann", "db/password": VALUE}.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    options = ["--json", "--home", str(tmp_path / "home"), "--database-url", store_url]

    def call(*words: str, rules: bool = True, value: bytes | None = None) -> Result:
        rule = f"*=files:{folder}?public=user" if rules else ""
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(os.environ, "CLOACINA_SECRET_PROVIDERS", rule)
            return CliRunner().invoke(main, [*words, *options], input=value)

    return call


@ON_SQLITE
def test_the_command_line_tells_where_a_secret_is_kept(cli: Callable[..., Result], tmp_path: Path):
    place = f"files:{tmp_path / 'secrets'}?public=user"
    assert cli("secret", "set", "crm", rules=False, value=VALUE.encode()).exit_code == 0

    shown = {name: json.loads(cli("secret", "show", name).stdout) for name in ("crm", "db")}
    listed, missing = cli("secret", "list"), cli("secret", "show", "nothing")
    doctor: list[dict[str, Any]] = json.loads(cli("doctor").stdout)

    assert {name: (one["provider"], one["fields"]) for name, one in shown.items()} == {
        "crm": (place, []),
        "db": (place, ["password", "user"]),
    }
    assert [one["provider"] for one in json.loads(listed.stdout)] == [place]
    assert "no task is given it" in listed.stderr
    assert f"kept elsewhere: * in {place}" in listed.stderr
    assert missing.exit_code == 3
    verdicts = {one["what"]: one["verdict"] for one in doctor}
    assert verdicts[f"secrets in {place}"] == "ok"
    assert verdicts["hidden secrets"] == "warn"
    assert VALUE not in f"{shown}{listed.output}{missing.output}{doctor}"


@ON_SQLITE
def test_the_doctor_tells_of_a_folder_that_is_not_there(cli: Callable[..., Result], tmp_path: Path):
    (tmp_path / "secrets").rename(tmp_path / "elsewhere")

    done = cli("doctor")

    assert done.exit_code == 1
    assert "there is no such folder" in done.stdout
