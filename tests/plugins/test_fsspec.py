"""The plugin `cloacina-fsspec`: it keeps the contract, and a setting is all that it takes."""

import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.blob_stores import little_room
from support.pages import ROOT
from support.plugins import install_plugin, run_python

from cloacina_core.errors import ConfigurationError, StoreUnavailableError
from cloacina_core.plugin import BlobStore, Digest
from cloacina_core.testing import BlobStoreContract

UPLOAD = """
import json
import os
from pathlib import Path
from support.registry import OWNER, signed_wheel
from support.signing import grant_key
from cloacina_core.plugin.manager import Plugins
from cloacina_core.runtime import open_view
from cloacina_core.settings import read_settings
from cloacina_registry.registry import Registry

settings = read_settings(os.environ, Path.cwd()).settings
grant_key(settings.home, "owner", OWNER.public)
view = open_view(settings)
wheel = signed_wheel()
wheel.upload_to(Registry.of(view))
again = Registry.of(view).download("acme-etl", "1.0")
view.close()
(record,) = [one for one in Plugins.of_environment().records() if one.name == "fsspec"]
print(json.dumps([again.data == wheel.data, record.to_json()]))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin in it, as `pip install` left it."""
    target = tmp_path_factory.mktemp("plugins")
    install_plugin("cloacina-fsspec", target)
    return target


@pytest.fixture(scope="module")
def store_class(installed: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(installed))
        yield importlib.import_module("cloacina_fsspec.store").FsspecBlobStore


class TestOnAFileSystem(BlobStoreContract):
    @pytest.fixture(autouse=True)
    def use(self, store_class: Any) -> None:
        self.store_class = store_class

    def opener(self, place: Path) -> Callable[[], BlobStore]:
        return partial(self.store_class.at, f"file://{place}/blobs")

    def damage(self, place: Path, digest: Digest) -> None:
        path = place / "blobs" / "sha256" / digest.removeprefix("sha256:")
        path.write_bytes(b"other bytes")

    def out_of_space(self, place: Path) -> AbstractContextManager[None]:
        return little_room()

    def test_what_a_killed_process_left_is_removed_when_it_is_old(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        store.put(b"x")
        (tmp_path / "blobs" / "drafts" / "half").write_bytes(b"half")
        hour = timedelta(hours=1)

        young = store.remove_drafts(datetime.now(UTC) - hour)
        counted = store.remove_drafts(datetime.now(UTC) + hour, dry_run=True)
        removed = store.remove_drafts(datetime.now(UTC) + hour)

        assert (young, counted, removed) == (0, 1, 1)
        assert list((tmp_path / "blobs" / "drafts").iterdir()) == []

    def test_a_failed_put_leaves_no_draft(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()

        with little_room(), pytest.raises(StoreUnavailableError, match="can't be written"):
            store.put(bytes(8_000_000))

        assert list((tmp_path / "blobs" / "drafts").iterdir()) == []


@pytest.mark.parametrize("url", ["", "/srv/blobs", "nothing://x", "simplecache"])
def test_what_is_no_url_is_a_wrong_setting(store_class: Any, url: str) -> None:
    with pytest.raises(ConfigurationError, match="blob_store"):
        store_class.at(url)


def test_cloacina_blob_stores_names_what_the_setting_takes(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
    place = tmp_path / "bucket"
    printed = run_python(
        UPLOAD,
        path=installed,
        folder=tmp_path,
        environment={"CLOACINA_BLOB_STORE": f"fsspec:file://{place}"},
    )

    came_back, record = json.loads(printed)
    assert came_back
    assert (record["status"], record["hooks"]) == ("loaded", ["cloacina_blob_stores"])
    assert len([path for path in place.rglob("*") if path.is_file()]) == 1
    assert not (tmp_path / "home" / "blobs").exists()
