import pytest

from cloacina_registry.wheel.filename import parse_filename
from cloacina_registry.wheel.metadata import read_core_metadata, wheel_file_problems

WHEEL_NAME = parse_filename("acme_etl-1.0-py3-none-any.whl")


def metadata(*lines: str, version: str = "2.4") -> str:
    return "\n".join([f"Metadata-Version: {version}", "Name: acme-etl", "Version: 1.0", *lines, ""])


def test_requirements_and_python_versions_are_handed_on() -> None:
    read = read_core_metadata(
        metadata("Requires-Python: >=3.11", "Requires-Dist: tomli-w>=1.1"), WHEEL_NAME, ""
    )

    assert read.problems == ()
    assert read.requires_python == ">=3.11"
    assert read.requires == ("tomli-w>=1.1",)


def test_another_spelling_of_the_name_is_the_same_name() -> None:
    text = metadata().replace("acme-etl", "Acme.ETL")

    assert read_core_metadata(text, WHEEL_NAME, "").problems == ()


def test_declared_import_names_count_by_their_top_level() -> None:
    text = metadata("Import-Name: acme_etl.flows", "Import-Name: acme_x ; private", version="2.5")

    assert read_core_metadata(text, WHEEL_NAME, "").import_names == {"acme_etl", "acme_x"}


@pytest.mark.parametrize("version", ["2.1", "2.2", "2.3"])
def test_the_early_license_files_of_setuptools_are_tolerated(version: str) -> None:
    text = metadata("License-File: LICENSE", version=version)

    assert read_core_metadata(text, WHEEL_NAME, "").problems == ()


def test_other_fields_of_a_later_version_are_told() -> None:
    text = metadata("License-Expression: MIT", version="2.1")

    problems = read_core_metadata(text, WHEEL_NAME, "").problems

    assert [problem.kind for problem in problems] == ["metadata"]


def test_compressed_tags_in_the_file_wheel_are_expanded() -> None:
    both = parse_filename("acme_etl-1.0-py2.py3-none-any.whl")
    text = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py2.py3-none-any\n"

    assert not list(wheel_file_problems(text, both, ""))
    assert [problem.kind for problem in wheel_file_problems(text, WHEEL_NAME, "")] == ["wheel-file"]


def test_an_empty_file_wheel_lacks_everything() -> None:
    kinds = [problem.kind for problem in wheel_file_problems("", WHEEL_NAME, "")]

    assert kinds == ["wheel-file", "not-pure", "wheel-file"]
