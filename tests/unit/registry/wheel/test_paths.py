import pytest

from cloacina_registry.wheel.paths import duplicate_problems, path_problems


@pytest.mark.parametrize(
    "name",
    [
        b"acme/flows.py",
        b"acme_etl-1.0.dist-info/licenses/LICENSE (BSD).txt",
        b"acme/_data/a%20b+c@2x.csv",
        b"acme/.hidden",
        b"acme/folder/",
        b"acme/console.py",
    ],
)
def test_an_ordinary_name_is_clean(name: bytes) -> None:
    assert not list(path_problems(name))


@pytest.mark.parametrize(
    "name", [b"", b"/", b"..", b"a/../b", b"a/b/..", b"~/x\x7f", b"a|b", b"a*"]
)
def test_an_odd_name_is_told(name: bytes) -> None:
    assert [problem.kind for problem in path_problems(name)] == ["path"]


@pytest.mark.parametrize(
    "names",
    [
        ["a/x.py", "b/x.py"],
        ["a/", "a/x.py", "a/b/", "a/b/y.py"],
        ["a/x.py", "a/", "a/b.py"],
        ["ab/x", "a/b/x"],
    ],
)
def test_different_files_do_not_meet(names: list[str]) -> None:
    assert not list(duplicate_problems(names))


@pytest.mark.parametrize(
    "names",
    [
        ["a/x.py", "a/x.py"],
        ["a/x.py", "a/X.py"],
        ["a/x.py", "A/y.py"],
        ["a", "a/x.py"],
        ["a/x.py", "a"],
        ["a/", "a"],
        ["a", "a/"],
        ["a/", "A/"],
    ],
)
def test_names_that_would_meet_on_some_file_system_are_told(names: list[str]) -> None:
    assert "duplicate" in {problem.kind for problem in duplicate_problems(names)}
