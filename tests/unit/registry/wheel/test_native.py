"""Native code comes in by one door, and each rule of that door is tried."""

from collections.abc import Mapping

import pytest
from support.locked_wheels import HERE, native_module
from support.wheels import (
    PURE,
    SOURCES,
    dist_info_of,
    make_manifest,
    wheel_filename,
    wheel_files,
)

from cloacina_registry.errors import WheelRejectedError
from cloacina_registry.manifest import Manifest
from cloacina_registry.wheel.checked import CheckedWheel, open_wheel
from cloacina_registry.wheel.writer import with_record, write_wheel

LINUX = "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64"
MAC = "cp311-cp311-macosx_11_0_arm64"
WINDOWS = "cp311-cp311-win_amd64"
ELF = b"\x7fELF\x02\x01"
MACH_O = b"\xcf\xfa\xed\xfe\x0c"
PE = b"MZ" + bytes(58) + b"\x40\x00\x00\x00" + b"PE\x00\x00"
IN_WORKERS = make_manifest(isolation="worker")
GOOD = {"acme_etl/fast.cpython-311-x86_64-linux-gnu.so": ELF}


def opened(
    more: Mapping[str, bytes],
    *,
    tags: str = LINUX,
    manifest: Manifest = IN_WORKERS,
    told: tuple[bytes, bytes] = (b"", b""),
) -> CheckedWheel:
    """Open a wheel; `told` changes what WHEEL says."""
    files = {**wheel_files({**SOURCES, **more}, manifest=manifest, tags=tags)}
    path = f"{dist_info_of()}/WHEEL"
    files[path] = files[path].replace(*told) if told[0] else files[path]
    data = write_wheel(with_record(files, dist_info_of()))
    return open_wheel(data, wheel_filename(tags=tags))


def kinds(caught: pytest.ExceptionInfo[WheelRejectedError]) -> set[str]:
    return {problem.kind for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("tags", "path", "content"),
    [
        (LINUX, "acme_etl/fast.cpython-311-x86_64-linux-gnu.so", ELF),
        (LINUX, "acme_etl/lib/libfast.so.1.2", ELF),
        (LINUX, "acme_etl.libs/libfast-5f2c.so.1", ELF),
        ("cp311-abi3-musllinux_1_2_aarch64", "acme_etl/fast.abi3.so", ELF),
        ("py3-none-linux_x86_64", "acme_etl/libfast.so", ELF),
        (MAC, "acme_etl/fast.cpython-311-darwin.so", MACH_O),
        (MAC, "acme_etl/.dylibs/libfast.dylib", MACH_O),
        (WINDOWS, "acme_etl/fast.cp311-win_amd64.pyd", PE),
        ("py3-none-win32", "acme_etl/fast.dll", PE),
        ("pp310-pypy310_pp73-win_amd64", "acme_etl/fast.pyd", PE),
    ],
)
def test_a_library_for_the_platform_is_accepted(tags: str, path: str, content: bytes) -> None:
    wheel = opened({path: content}, tags=tags)

    assert wheel.native_files == (path,)
    assert wheel.platform == tags
    assert wheel.top_levels == ("acme_etl",)


def test_a_real_extension_module_is_accepted() -> None:
    name, content = native_module()

    assert opened({f"acme_etl/{name}": content}, tags=HERE).native_files == (f"acme_etl/{name}",)


def test_a_pure_wheel_has_no_platform() -> None:
    wheel = opened({}, tags=PURE)

    assert (wheel.platform, wheel.native_files) == (None, ())


@pytest.mark.parametrize(
    ("rule", "kind", "change"),
    [
        ("a platform in the file name", "native", {"tags": PURE}),
        ("no purelib", "not-pure", {"told": (b"Purelib: false", b"Purelib: true")}),
        ("no purelib at all", "not-pure", {"told": (b"Root-Is-Purelib: false\n", b"X: y\n")}),
        ("the same tags in WHEEL", "wheel-file", {"told": (b"_17_", b"_28_")}),
        ("a manifest that says worker", "not-pure", {"manifest": make_manifest()}),
        (
            "and not namespace",
            "not-pure",
            {"manifest": make_manifest(isolation="namespace")},
        ),
    ],
)
def test_each_rule_about_the_wheel_is_kept(
    rule: str, kind: str, change: Mapping[str, object]
) -> None:
    with pytest.raises(WheelRejectedError) as caught:
        opened(GOOD, **change)  # type: ignore[arg-type]

    assert kinds(caught) == {kind}, rule


@pytest.mark.parametrize(
    ("tags", "path", "content"),
    [
        (LINUX, "acme_etl/logo.png", ELF),
        (LINUX, "acme_etl/program", ELF),
        (LINUX, "acme_etl/fast.so.txt", ELF),
        (LINUX, "acme_etl/fast.exe", ELF),
        (LINUX, "acme_etl/fast.o", ELF),
        (LINUX, "acme_etl/fast.a", b"!<arch>\n"),
        (LINUX, "acme_etl/fast.wasm", b"\x00asm"),
        (LINUX, "acme_etl/fast.so", b"INPUT(/lib/evil.so)"),
        (LINUX, "acme_etl/fast.so", b""),
        (LINUX, "acme_etl/fast.so", PE),
        (LINUX, "acme_etl/fast.pyd", PE),
        (MAC, "acme_etl/fast.so", ELF),
        (MAC, "acme_etl/Fast.class", b"\xca\xfe\xba\xbe"),
        (WINDOWS, "acme_etl/fast.so", ELF),
        (WINDOWS, "acme_etl/fast.dll", b"MZ"),
        (WINDOWS, "acme_etl/setup.exe", PE),
    ],
)
def test_native_code_of_another_sort_or_in_disguise_is_refused(
    tags: str, path: str, content: bytes
) -> None:
    with pytest.raises(WheelRejectedError) as caught:
        opened({path: content}, tags=tags)

    assert kinds(caught) == {"native"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("other.libs/libfast.so", ELF),  # of a name that isn't the package's
        ("acme_etl.libs/notes.txt", b"x"),  # no library
        ("fast.cpython-311-x86_64-linux-gnu.so", ELF),  # not in the package
    ],
)
def test_at_the_top_nothing_but_the_folder_of_its_libraries_is_accepted(
    path: str, content: bytes
) -> None:
    with pytest.raises(WheelRejectedError) as caught:
        opened({path: content})

    assert kinds(caught) == {"top-level"}


def test_native_code_may_not_take_a_name_of_python() -> None:
    with pytest.raises(WheelRejectedError) as caught:
        opened({"json/fast.so": ELF})

    assert kinds(caught) == {"shadow"}


@pytest.mark.parametrize(
    "tag",
    [
        LINUX.replace(".", " "),
        "cp311-cp311-linux_x86_64",
        ".".join(["cp311"] * 300) + "-cp311-manylinux_2_17_x86_64",
        "-".join([".".join(["a"] * 1000)] * 3),
        "cp311",
        "",
    ],
)
def test_tags_in_the_file_wheel_are_those_of_the_file_name(tag: str) -> None:
    with pytest.raises(WheelRejectedError) as caught:
        opened(GOOD, told=(LINUX.encode(), tag.encode()))

    assert kinds(caught) == {"wheel-file"}


def test_tags_may_be_told_one_by_one() -> None:
    one_by_one = LINUX.replace(".", "\nTag: cp311-cp311-").encode()

    assert opened(GOOD, told=(LINUX.encode(), one_by_one)).platform == LINUX
