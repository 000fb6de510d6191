"""Where uploaded packages are kept is a setting; engines that share a store share them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.registry import OWNER, flows_returning, signed_wheel
from support.runs import PATIENCE, open_runtime
from support.signing import grant_key

import cloacina_registry.hooks
from cloacina_core.errors import ConfigurationError
from cloacina_core.plugin import BlobStore, BlobStoreKind, RuntimeView, hookimpl
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import open_view
from cloacina_core.settings import Settings, read_settings
from cloacina_registry.registry import Registry
from cloacina_registry.storage.blobs import FileBlobStore

ONE = signed_wheel("1.0", sources=flows_returning("one"))


@pytest.fixture
def plugins() -> Plugins:
    plugins = Plugins()
    plugins.add(cloacina_registry.hooks, "registry")
    return plugins


@pytest.fixture
def settings_of(tmp_path: Path) -> Callable[..., Settings]:
    """Return the settings of a new home, as the command line would find them."""

    def settings_of(name: str, **given: Any) -> Settings:
        home = tmp_path / name
        home.mkdir()
        grant_key(home, "owner", OWNER.public)
        return read_settings({"HOME": str(tmp_path)}, home, {"home": home, **given}).settings

    return settings_of


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_one_home_uploads_another_runs_when_they_share_postgresql_alone(
    postgresql_url: str, settings_of: Callable[..., Settings], plugins: Plugins
) -> None:
    here = settings_of("here", database_url=postgresql_url)
    there = settings_of("there", database_url=postgresql_url)
    with closing(open_view(here, plugins)) as view:
        ONE.upload_to(Registry.of(view))

    blob_store = there.blob_store
    with open_runtime(
        there.home, postgresql_url, plugins=plugins, blob_store=blob_store
    ) as runtime:
        result = runtime.run("acme-etl/nightly==1.0", timeout=PATIENCE)

    assert result.context["value"] == "one", result.error
    assert not (here.home / "blobs").exists()


def test_beside_sqlite_they_are_files(
    settings_of: Callable[..., Settings], plugins: Plugins
) -> None:
    settings = settings_of("home")
    with closing(open_view(settings, plugins)) as view:
        ONE.upload_to(Registry.of(view))

    assert len(files_below(settings.home / "blobs")) == 1


def test_they_can_be_in_sqlite_too(settings_of: Callable[..., Settings], plugins: Plugins) -> None:
    settings = settings_of("home", blob_store="database")
    with closing(open_view(settings, plugins)) as view:
        registry = Registry.of(view)
        ONE.upload_to(registry)
        downloaded = registry.download("acme-etl", "1.0")
        registry.delete("acme-etl", "1.0")

        assert downloaded.data == ONE.data
        assert list(view.blob_store().blobs()) == []
        assert ONE.upload_to(registry).created
        assert registry.check(lambda _done, _total: None).findings == []
    assert not (settings.home / "blobs").exists()


def test_they_can_be_in_a_folder_that_homes_share(
    settings_of: Callable[..., Settings], plugins: Plugins, tmp_path: Path
) -> None:
    settings = settings_of("home", blob_store=f"file:{tmp_path / 'shared'}")
    with closing(open_view(settings, plugins)) as view:
        ONE.upload_to(Registry.of(view))

    assert len(files_below(tmp_path / "shared")) == 1


class Elsewhere:
    """A plugin with a kind of its own."""

    def __init__(self, folder: Path, name: str = "elsewhere") -> None:
        self.folder = folder
        self.name = name
        self.opened_with: list[str] = []

    @hookimpl
    def cloacina_blob_stores(self) -> Sequence[BlobStoreKind]:
        return [BlobStoreKind(self.name, self._open)]

    def _open(self, view: RuntimeView, rest: str) -> BlobStore:
        self.opened_with.append(rest)
        return FileBlobStore(self.folder)


def test_cloacina_blob_stores_offers_a_kind_for_the_setting(
    settings_of: Callable[..., Settings], plugins: Plugins, tmp_path: Path
) -> None:
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    plugins.add(elsewhere, "elsewhere")
    settings = settings_of("home", blob_store="elsewhere:a place:with colons")
    with closing(open_view(settings, plugins)) as view:
        ONE.upload_to(Registry.of(view))

    assert elsewhere.opened_with == ["a place:with colons"]
    assert len(files_below(tmp_path / "elsewhere")) == 1


def test_a_kind_that_nobody_offers_is_told_with_those_there_are(
    settings_of: Callable[..., Settings], plugins: Plugins
) -> None:
    settings = settings_of("home", blob_store="s3:bucket")
    with (
        closing(open_view(settings, plugins)) as view,
        pytest.raises(ConfigurationError) as caught,
    ):
        view.blob_store()

    assert "'s3'" in caught.value.message
    assert "database, file" in caught.value.message
    assert "plugins list" in (caught.value.hint or "")


def test_a_kind_that_two_offer_is_nobodys(
    settings_of: Callable[..., Settings], plugins: Plugins, tmp_path: Path
) -> None:
    plugins.add(Elsewhere(tmp_path, name="file"), "impostor")
    settings = settings_of("home")
    with closing(open_view(settings, plugins)) as view, pytest.raises(ConfigurationError):
        view.blob_store()

    (record,) = (record for record in plugins.records() if record.name == "impostor")
    assert "'file' is contributed by" in str(record.error)


def test_the_database_is_always_the_stores_own(
    settings_of: Callable[..., Settings], plugins: Plugins
) -> None:
    settings = settings_of("home", blob_store="database:postgresql://elsewhere/x")
    with (
        closing(open_view(settings, plugins)) as view,
        pytest.raises(ConfigurationError, match="store's own"),
    ):
        view.blob_store()


def test_a_wrong_place_is_told_to_whoever_runs_something(
    settings_of: Callable[..., Settings], plugins: Plugins
) -> None:
    settings = settings_of("home", blob_store="s3:bucket")

    with pytest.raises(ConfigurationError, match="'s3'"):
        open_runtime(
            settings.home,
            settings.database_url,
            plugins=plugins,
            blob_store=settings.blob_store,
        )
