from pathlib import Path

from support.release_contents import make_contents

from cloacina_registry.loading.contents import ModuleFile


def test_folders_list_what_is_directly_in_them():
    contents = make_contents()

    assert contents.folders[""] == ("acme", "acme-1.0.dist-info", "helperlib")
    assert contents.folders["acme"] == ("__init__.py", "consts.py", "data", "sub")
    assert contents.folders["acme/data"] == ("region.txt",)


def test_a_package_goes_before_a_module_and_a_module_before_a_folder():
    files = {"acme/a/__init__.py": "", "acme/a.py": "", "acme/b.py": "", "acme/b/c.py": ""}
    contents = make_contents(files=files)

    assert contents.module("acme.a") == ModuleFile(member="acme/a/__init__.py", folder="acme/a")
    assert contents.module("acme.b") == ModuleFile(member="acme/b.py", folder=None)
    assert contents.module("acme.data") == ModuleFile(member=None, folder="acme/data")
    assert contents.module("acme.nothing") is None


def test_the_modules_of_a_package_leave_out_folders_without_source_and_odd_names():
    contents = make_contents(files={"acme/not-a-name.py": "", "acme/notes.txt": ""})

    assert list(contents.modules_in("acme")) == [("consts", False), ("sub", True)]


def test_paths_tell_release_and_content():
    contents = make_contents()
    digits = contents.digest.removeprefix("sha256:")[:12]

    assert contents.path_of("acme/consts.py") == str(Path(f"<acme 1.0 {digits}>/acme/consts.py"))


def test_paths_are_real_in_a_folder(tmp_path: Path):
    contents = make_contents(folder=tmp_path)

    assert contents.path_of("acme/consts.py") == str(tmp_path / "acme" / "consts.py")


def test_native_code_is_seen():
    contents = make_contents(files={"acme/fast.abi3.so": "", "acme/fast.pyd": "", "acme/so.py": ""})

    assert contents.native_files == ["acme/fast.abi3.so", "acme/fast.pyd"]
