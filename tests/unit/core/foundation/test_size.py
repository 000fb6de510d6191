"""Sizes are read as people write them."""

import pytest

from cloacina_core.foundation.size import parse_size, shown_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("64kB", 64_000),
        ("64 KiB", 65_536),
        ("512MiB", 512 * 1024**2),
        ("10GB", 10 * 1000**3),
        (" 10 gib ", 10 * 1024**3),
        ("2tb", 2 * 1000**4),
        ("1TiB", 1024**4),
    ],
)
def test_a_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "GB", "-1", "+1", "1.5GB", "1e3", "1_000", "10XB", "10iB", "10 G B", "٣MB", "9" * 16],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="512MiB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (1024**3, "1.0 GiB"),
        (5000 * 1024**3, "5000.0 GiB"),
    ],
)
def test_a_size_is_shown_short(size: int, text: str) -> None:
    assert shown_size(size) == text
