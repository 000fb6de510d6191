"""Locked dependencies lie in the namespace of their release, and nothing else of the host does."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.release_contents import make_contents, make_dependency

from cloacina_registry.dependencies.examination import LIMITS
from cloacina_registry.errors import LoadError, WheelRejectedError
from cloacina_registry.loading.contents import ReleaseContents
from cloacina_registry.loading.loader import NamespaceLoader
from cloacina_registry.wheel.framing import MAX_ENTRIES


def release_with(
    version: str, files: Mapping[str, str], dependencies: Mapping[str, str] | None = None
) -> ReleaseContents:
    """Return a release that depends on `shapes` of the same version."""
    return make_contents(version, files).with_dependencies([make_dependency(version, dependencies)])


def test_two_releases_have_two_versions_of_one_dependency(loader: NamespaceLoader):
    files = {
        "acme/flows.py": "import shapes\ndef top(): return shapes.VERSION\n"
        "def late():\n    from shapes import VERSION\n    return VERSION\n"
    }
    first, second = (
        loader.load(release_with(version, files)).import_module("acme.flows")
        for version in ("1.0", "2.0")
    )

    assert (first.top(), first.late()) == ("1.0", "1.0")
    assert (second.top(), second.late()) == ("2.0", "2.0")
    assert "shapes" not in sys.modules


def test_a_dependency_imports_itself_and_what_else_is_locked(loader: NamespaceLoader):
    sources = {
        "shapes/__init__.py": "import shapes.round, colours\ncolour = colours.RED\n",
        "shapes/round.py": "from . import __name__ as package\n",
    }
    shapes = make_dependency("1.0", sources)
    colours = make_dependency("3.1", {"colours.py": "RED = 'red'\n"}, name="colours")
    contents = make_contents().with_dependencies([shapes, colours])

    assert loader.load(contents).resolve("shapes:colour") == "red"
    assert contents.top_levels == ("acme", "colours", "helperlib", "shapes")


def test_resources_and_metadata_of_a_dependency_are_found(loader: NamespaceLoader):
    probe = """
from importlib import metadata, resources
version = metadata.version("Shapes")
names = sorted(each.name for each in metadata.distributions())
text = resources.files("shapes").joinpath("data.txt").read_text()
"""
    shapes = {"shapes/__init__.py": "", "shapes/data.txt": "round"}
    module = loader.load(release_with("1.0", {"acme/probe.py": probe}, shapes)).import_module(
        "acme.probe"
    )

    assert (module.version, module.names, module.text) == ("1.0", ["acme", "shapes"], "round")


IMPORTS_OF_THE_HOST = {
    "import": "import pluggy",
    "from": "from pluggy import HookspecMarker",
    "dunder-import": "__import__('pluggy')",
    "import-module": "from importlib import import_module\nimport_module('pluggy')",
    "resolve-name": "import pkgutil\npkgutil.resolve_name('pluggy:HookspecMarker')",
    "run-module": "import runpy\nrunpy.run_module('pluggy')",
    "resources": "from importlib.resources import files\nfiles('pluggy')",
    "registry": "import cloacina_registry",
    "in-exec": "exec('import pluggy')",
}


@pytest.mark.parametrize("code", IMPORTS_OF_THE_HOST.values(), ids=IMPORTS_OF_THE_HOST)
def test_what_is_installed_but_not_locked_is_not_imported(loader: NamespaceLoader, code: str):
    namespace = loader.load(make_contents(files={"acme/flows.py": code}))

    with pytest.raises(LoadError) as refusal:
        namespace.import_module("acme.flows")

    cause = refusal.value.__cause__
    assert isinstance(cause, ModuleNotFoundError)
    assert cause.name in {"pluggy", "cloacina_registry"}
    assert f"No module named {cause.name!r}: it isn't among what acme 1.0 has locked" in str(cause)


def test_what_is_not_locked_is_not_found_otherwise_either(loader: NamespaceLoader):
    probe = """
import importlib.metadata, importlib.util, pkgutil
spec = importlib.util.find_spec("pluggy")
listed = {info.name for info in pkgutil.iter_modules()} & {"pluggy", "acme", "json"}
points = {point.group for point in importlib.metadata.entry_points()}
try:
    importlib.metadata.version("pluggy")
except importlib.metadata.PackageNotFoundError as error:
    missing = error.name
try:
    import pluggy
except ImportError as error:
    optional = error.name
"""
    module = loader.load(make_contents(files={"acme/probe.py": probe})).import_module("acme.probe")

    assert module.spec is None
    assert module.listed == {"acme", "json"}
    assert module.points == {"cloacina.workflows"}
    assert (module.missing, module.optional) == ("pluggy", "pluggy")


def test_the_standard_library_goes_before_a_backport_of_it(loader: NamespaceLoader):
    files = {"acme/flows.py": "import json, dataclasses\n"}
    backport = {"dataclasses.py": "raise AssertionError", "cloacina_core/__init__.py": "1 / 0"}
    contents = release_with("1.0", files, backport)

    loader.load(contents).import_module("acme.flows")

    assert contents.top_levels == ("acme", "helperlib")


def test_a_package_in_parts_is_put_together(loader: NamespaceLoader):
    parts = [
        make_dependency("1.0", {f"parts/{name}.py": f"NAME = {name!r}"}, name=name)
        for name in ("one", "two")
    ]
    files = {"acme/flows.py": "import parts.one, parts.two\nboth = parts.one.NAME, parts.two.NAME"}
    contents = make_contents(files=files).with_dependencies(parts)

    assert loader.load(contents).resolve("acme.flows:both") == ("one", "two")


def test_a_module_that_two_distributions_have_is_refused():
    one = make_dependency("1.0", {"shapes.py": "1"}, name="one")
    other = make_dependency("2.0", {"shapes.py": "2"}, name="other")

    with pytest.raises(LoadError, match=r"one 1\.0 and other 2\.0 both have shapes$"):
        make_contents().with_dependencies([one, other])


SAME_MODULES = {
    "package": ("rules.py", "rules/__init__.py"),
    "module": ("rules/__init__.py", "rules.py"),
    "inside": ("acme/rules.py", "acme/rules/__init__.py"),
    "around": ("rules/sales.py", "rules/__init__.py"),
    "plain around": ("rules/sales.py", "rules.py"),
}


@pytest.mark.parametrize(("own", "brought"), SAME_MODULES.values(), ids=SAME_MODULES)
def test_a_dependency_does_not_take_the_place_of_a_module_of_the_package(own: str, brought: str):
    contents = make_contents(files={own: "WHO = 'package'"})
    evil = make_dependency("1.0", {brought: "WHO = 'dependency'"}, name="evil")

    with pytest.raises(LoadError, match=r"acme 1\.0 and evil 1\.0 both have (acme\.)?rules$"):
        contents.with_dependencies([evil])


def test_a_dependency_does_not_either_that_is_named_as_the_package():
    contents = make_contents(files={"rules.py": "WHO = 'package'"})
    evil = make_dependency("1.0", {"rules/__init__.py": "WHO = 'dependency'"}, name="acme")

    with pytest.raises(LoadError, match=r"both have rules$"):
        contents.with_dependencies([evil])


def test_a_module_and_a_package_of_one_name_are_not_two_dependencies():
    module = make_dependency("1.0", {"shapes.py": ""}, name="one")
    package = make_dependency("2.0", {"shapes/__init__.py": ""}, name="other")

    for dependencies in ([module, package], [package, module]):
        with pytest.raises(LoadError, match=r"both have shapes$"):
            make_contents().with_dependencies(dependencies)


def test_one_dependency_may_have_a_module_beside_a_package_of_its_name(loader: NamespaceLoader):
    sources = {"shapes.py": "VERSION = 'module'", "shapes/__init__.py": "VERSION = 'package'"}
    contents = make_contents().with_dependencies([make_dependency("1.0", sources)])

    assert loader.load(contents).resolve("shapes:VERSION") == "package"


def test_a_dependency_that_is_larger_than_a_package_may_be_is_loaded(loader: NamespaceLoader):
    modules = {f"shapes/part{number}.py": "" for number in range(MAX_ENTRIES)}
    shapes = make_dependency("1.0", {**modules, "shapes/__init__.py": "VERSION = '1.0'"})
    contents = make_contents().with_dependencies([shapes])

    assert loader.load(contents).resolve("shapes:VERSION") == "1.0"


def test_a_dependency_that_no_upload_would_accept_is_not_read():
    members = {f"part{number}": "" for number in range(LIMITS.entries)}

    with pytest.raises(WheelRejectedError, match="more than 20000 entries"):
        make_dependency("1.0", members)


def test_notes_that_two_distributions_have_disturb_nobody():
    one = make_dependency("1.0", {"LICENSE": "1", "tests/__init__.py": ""}, name="one")
    other = make_dependency("2.0", {"LICENSE": "2", "tests/__init__.py": ""}, name="other")

    assert make_contents().with_dependencies([one, other]).files["LICENSE"] == b"1"


def test_a_wheel_is_laid_out_as_an_installer_would(loader: NamespaceLoader):
    dependency = make_dependency(
        "1.0",
        {
            "shapes-1.0.data/purelib/shapes.py": "VERSION = 'moved'",
            "shapes-1.0.data/scripts/draw": "#!python",
            "evil.pth": "import os",
        },
    )
    namespace = loader.load(make_contents().with_dependencies([dependency]))

    assert namespace.resolve("shapes:VERSION") == "moved"
    assert sorted(path for path in dependency.files if ".dist-info" not in path) == ["shapes.py"]


def test_modules_that_a_library_makes_are_its_own_release_s(loader: NamespaceLoader):
    """`six.moves.urllib` is made by a finder that `six` puts into `sys.meta_path`."""
    six = """
import sys
from importlib.util import spec_from_loader
class Importer:
    def find_spec(self, fullname, path, target=None):
        return spec_from_loader(fullname, self) if fullname == __name__ + ".moves" else None
    def create_module(self, spec): return None
    def exec_module(self, module): module.VERSION = VERSION
__path__ = []
VERSION = {version!r}
sys.meta_path.append(Importer())
"""
    files = {"acme/flows.py": "import six\nfrom six.moves import VERSION\n"}
    before = list(sys.meta_path)
    found = []
    for version in ("1.0", "2.0"):
        source = six.replace("{version!r}", repr(version))
        contents = release_with(version, files, {"six.py": source})
        found.append(loader.load(contents).resolve("acme.flows:VERSION"))
    loader.close()

    assert found == ["1.0", "2.0"]
    assert sys.meta_path == before


def test_native_code_in_a_dependency_is_refused(loader: NamespaceLoader):
    contents = release_with("1.0", {}, {"shapes/fast.abi3.so": ""})

    with pytest.raises(LoadError) as refusal:
        loader.load(contents)

    assert [problem.where for problem in refusal.value.problems] == ["shapes/fast.abi3.so"]


def test_a_folder_on_the_path_of_the_host_does_not_help(
    loader: NamespaceLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "shapes.py").write_text("VERSION = 'host'")
    monkeypatch.syspath_prepend(tmp_path)
    namespace = loader.load(make_contents(files={"acme/flows.py": "import shapes"}))

    with pytest.raises(LoadError, match="No module named 'shapes'"):
        namespace.import_module("acme.flows")
