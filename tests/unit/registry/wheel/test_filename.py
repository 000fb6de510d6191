import pytest

from cloacina_registry.wheel.filename import parse_filename


@pytest.mark.parametrize(
    ("filename", "name", "version", "dist_info"),
    [
        ("acme_etl-1.0-py3-none-any.whl", "acme-etl", "1.0", "acme_etl-1.0.dist-info"),
        ("acme-2.0rc1-py3-none-any.whl", "acme", "2.0rc1", "acme-2.0rc1.dist-info"),
        ("acme-1!2.0.post1-py3-none-any.whl", "acme", "1!2.0.post1", "acme-1!2.0.post1.dist-info"),
    ],
)
def test_a_normalised_name_tells_package_and_version(
    filename: str, name: str, version: str, dist_info: str
) -> None:
    parsed = parse_filename(filename)

    assert (parsed.name, parsed.version, parsed.dist_info) == (name, version, dist_info)


def test_compressed_tags_are_expanded() -> None:
    parsed = parse_filename("acme-1.0-py2.py3-none-any.whl")

    assert parsed.tags == {"py2-none-any", "py3-none-any"}
