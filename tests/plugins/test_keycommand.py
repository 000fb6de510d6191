"""The plugin `cloacina-keycommand`, which contributes by the hook `cloacina_secret_keys`."""

import base64
import importlib
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.pages import ROOT

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import ConfigurationError, SecretProviderError, SecretUnavailableError
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.secret import WHOLE
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime.secrets import OpenedOnce, Secrets
from cloacina_core.runtime.view import StoreView
from cloacina_core.settings import Settings

VALUE = "correct horse battery staple"
KEY, NEWER = (base64.b64encode(bytes([number]) * 32).decode() for number in range(2))


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "plugins" / "cloacina-keycommand" / "src"))
    return importlib.import_module("cloacina_keycommand.hooks")


@pytest.fixture
def open_view(hooks: ModuleType, tmp_path: Path) -> Iterator[Callable[[str], StoreView]]:
    """Return what opens a store whose master keys are where a setting says."""
    plugins = Plugins()
    plugins.add(hooks, "keycommand")
    opened: list[StoreView] = []

    def open_view(setting: str) -> StoreView:
        url = f"sqlite:///{tmp_path / 'store.db'}"
        settings = Settings(home=tmp_path, database_url=url, secret_key=setting)
        opened.append(StoreView(settings, SystemClock(), plugins))
        return opened[-1]

    yield open_view
    for view in opened:
        view.close()


def printing(*lines: str, status: int = 0) -> str:
    """Return a setting with a program that prints some lines."""
    program = f"import sys; print(*{list(lines)!r}, sep='\\n'); sys.exit({status})"
    return f"command:{shlex.join([sys.executable, '-c', program])}"


def test_secrets_are_sealed_with_the_keys_that_the_program_prints(
    open_view: Callable[[str], StoreView],
):
    Secrets.of(open_view(printing(KEY))).set("crm", VALUE)

    assert OpenedOnce(open_view(printing(KEY))).read("crm", Stop()).parts == {WHOLE: VALUE}
    with pytest.raises(SecretUnavailableError, match=f"isn't in program {sys.executable}"):
        OpenedOnce(open_view(printing(NEWER))).read("crm", Stop())


def test_the_operator_changes_the_key(open_view: Callable[[str], StoreView]):
    Secrets.of(open_view(printing(KEY))).set("crm", VALUE)

    with pytest.raises(ConfigurationError, match="a new master key belongs where"):
        Secrets.of(open_view(printing(KEY))).rotate_key()
    done = Secrets.of(open_view(printing(NEWER, KEY))).rotate_key()

    assert (done.resealed, done.is_dropped) == (1, False)
    assert OpenedOnce(open_view(printing(NEWER))).read("crm", Stop()).parts == {WHOLE: VALUE}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (printing(KEY, status=3), "ended with status 3"),
        (printing("sesame"), "isn't base64"),
        (printing("AAAA"), "a master key has 32 bytes"),
        ("command:/no/such/program", "can't be run"),
    ],
)
def test_a_program_that_hands_out_no_keys_opens_nothing(
    open_view: Callable[[str], StoreView], setting: str, reason: str
):
    Secrets.of(open_view(printing(KEY))).set("crm", VALUE)

    with pytest.raises(SecretUnavailableError, match=reason) as caught:
        OpenedOnce(open_view(setting)).read("crm", Stop())
    assert "sesame" not in str(caught.value)


def test_a_program_that_fails_may_succeed_another_time(open_view: Callable[[str], StoreView]):
    Secrets.of(open_view(printing(KEY))).set("crm", VALUE)

    with pytest.raises(SecretProviderError, match="ended with status 3"):
        OpenedOnce(open_view(printing(KEY, status=3))).read("crm", Stop())


@pytest.mark.parametrize("setting", ["command", "command:'", "vault:x"])
def test_a_setting_that_means_nothing_is_refused(
    open_view: Callable[[str], StoreView], setting: str
):
    with pytest.raises(ConfigurationError, match="secret_key"):
        Secrets.of(open_view(setting)).set("crm", VALUE)
