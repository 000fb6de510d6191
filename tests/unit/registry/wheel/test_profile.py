import importlib.metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cloacina_registry.wheel.profile import HOST_NAMES, content_problems, name_problems, top_levels


def test_top_levels_are_packages_and_modules_but_not_metadata() -> None:
    files = dict.fromkeys(["b/x.py", "a.py", "b/c/y.py", "a-1.0.dist-info/METADATA"], b"")

    assert top_levels(files) == ("a", "b")


def test_declared_names_may_stand_at_the_top() -> None:
    files = {"acme/__init__.py": b"", "acme_more.py": b""}

    assert not list(name_problems(files, {"acme", "acme_more"}))


def test_a_module_beside_a_data_folder_of_its_name_is_no_double() -> None:
    files = {"acme/rows.py": b"", "acme/rows/day.csv": b""}

    assert not list(name_problems(files, {"acme"}))


def test_data_that_begins_like_a_program_by_chance_is_accepted() -> None:
    files = {"acme/towns.txt": b"MZuzu\nMzimba\n", "acme/short.txt": b"MZ"}

    assert not list(content_problems(files))


def test_what_cloacina_runs_on_is_out_of_reach() -> None:
    required = {
        canonicalize_name(Requirement(text).name)
        for text in importlib.metadata.requires("cloacina") or ()
    }
    names = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if required & set(map(canonicalize_name, distributions)) and module.isidentifier()
    }

    assert "sqlalchemy" in names
    assert names <= HOST_NAMES
