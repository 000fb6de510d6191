"""What may lie in a package at all: pure Python source and data, under names of its own.

The rules follow from how packages are loaded: each release in its own namespace, from sources whose
digests are known, never installed. So nothing may rely on an installer (`.data`, `.pth`), on the
interpreter's start, on native code, which escapes a namespace, or on the place of another package.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping

from cloacina_core.errors import Problem

HOST_NAMES = frozenset(
    {"cloacina_core", "cloacina_registry"}
    | {"alembic", "build", "click", "cryptography", "flit_core", "importlib_metadata", "jsonschema"}
    | {"packaging", "pluggy", "psutil", "psycopg", "psycopg_binary", "pyproject_hooks"}
    | {"pysqlite3", "referencing", "rich", "securesystemslib", "sqlalchemy", "tomli_w", "uv"}
    # what these depend on in their turn
    | {"_cffi_backend", "attr", "attrs", "cffi", "greenlet", "jsonschema_specifications", "mako"}
    | {"markdown_it", "markupsafe", "mdurl", "pycparser", "pygments", "rpds", "typing_extensions"}
    | {"zipp"}
)
"""Top-level names of Cloacina and of what it runs on. A package must not bring a module by which
the host would come to run the package's code in place of its own. That doesn't depend on what else
is installed: a wheel that is accepted here is accepted elsewhere."""

STANDARD_NAMES = sys.stdlib_module_names | frozenset(
    # removed in 3.12 and 3.13 (PEP 594, 632): a package may run on an older Python than ours
    {"aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils"}
    | {"imghdr", "imp", "lib2to3", "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes"}
    | {"smtpd", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib"}
    # new in 3.14: or on a newer one
    | {"annotationlib", "compression"}
)

STARTUP_NAMES = frozenset({"sitecustomize", "usercustomize", "__main__", "site-packages"})
"""Imported by the interpreter on its own account, if they are found."""

_STARTUP_SUFFIXES = (".pth", ".start")
"""Lines of these run when an interpreter starts (`site`; PEP 829)."""

_INSTALLER_FILES = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "provenance_url.json"})
"""Written by installers; in a wheel they would be claims about an installation to come."""

_NEEDED_FILES = ("METADATA", "WHEEL", "RECORD")

_BYTECODE_SUFFIXES = (".pyc", ".pyo")
_NATIVE_NAME = re.compile(r".*\.(so|pyd|dll|dylib|a|lib|o|obj|exe|wasm)(\.[0-9.]+)?", re.IGNORECASE)
_NATIVE_SIGNATURES = (
    b"\x7fELF",
    b"!<arch>\n",
    b"!<thin>\n",
    b"BC\xc0\xde",  # LLVM's bitcode
    b"\x00asm",
    b"\xfe\xed\xfa\xce",  # Mach-O, 32 bits, in both byte orders
    b"\xce\xfa\xed\xfe",
    b"\xfe\xed\xfa\xcf",  # Mach-O, 64 bits
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",  # Mach-O for several processors, and classes of Java
    b"\xca\xfe\xba\xbf",
)
_PE_POINTER_AT = 0x3C


def dist_info_problems(files: Mapping[str, bytes], dist_info: str) -> Iterator[Problem]:
    """Yield what is missing from dist-info, and what pretends to be another."""
    for name in _NEEDED_FILES:
        if f"{dist_info}/{name}" not in files:
            yield Problem("dist-info", f"{name} is missing", dist_info)
    for folder in sorted({path.split("/", maxsplit=1)[0] for path in files}):
        # Readers of metadata compare without case, and take egg-info for metadata too.
        if folder.lower().endswith((".dist-info", ".egg-info")) and folder != dist_info:
            yield Problem("dist-info", f"the only metadata folder must be {dist_info}", folder)
    for name in sorted(_INSTALLER_FILES):
        if f"{dist_info}/{name}" in files:
            message = f"{name} is written by installers, it isn't accepted in a wheel"
            yield Problem("dist-info", message, dist_info)


def content_problems(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Yield files of kinds that have no place in a package."""
    for path, content in files.items():
        name = path.rpartition("/")[2].lower()
        folders = path.lower().split("/")[:-1]
        if name.endswith(_STARTUP_SUFFIXES):
            message = "files that run when an interpreter starts aren't accepted"
            yield Problem("startup-file", message, path)
        elif name.endswith(_BYTECODE_SUFFIXES) or "__pycache__" in folders:
            yield Problem("bytecode", "bytecode isn't accepted, only source", path)
        elif is_native(path, content):
            message = "native code isn't accepted: it can't be kept in a namespace"
            yield Problem("native", message, path)
        if folders and folders[0].endswith(".data"):
            message = "nothing is installed, so files for other places aren't accepted"
            yield Problem("data-dir", message, path)


def is_native(path: str, content: bytes) -> bool:
    """Whether a file is called as native code is, or begins so, whatever it is called."""
    if _NATIVE_NAME.fullmatch(path.rpartition("/")[2].lower()) or content.startswith(
        _NATIVE_SIGNATURES
    ):
        return True
    pointer = int.from_bytes(content[_PE_POINTER_AT : _PE_POINTER_AT + 4], "little")
    return content[:2] == b"MZ" and content[pointer : pointer + 4] == b"PE\x00\x00"


def top_levels(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the names that the package's modules are imported under, sorted."""
    return tuple(
        sorted({path.split("/", maxsplit=1)[0].removesuffix(".py") for path in _code(files)})
    )


def _code(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the files outside of metadata and `.data` folders, which have rules of their own."""
    for path in files:
        if (
            not path.split("/", maxsplit=1)[0]
            .lower()
            .endswith((".dist-info", ".egg-info", ".data"))
        ):
            yield path


def name_problems(files: Mapping[str, bytes], declared: Collection[str]) -> Iterator[Problem]:
    """Yield top-level names that aren't the package's own, and modules that are there twice.

    Args:
        files: the contents.
        declared: the top-level names that the package says it provides.
    """
    taken = {name.lower() for name in (*STANDARD_NAMES, *STARTUP_NAMES, *HOST_NAMES)}
    for name in top_levels(files):
        if name.lower() in taken:
            message = "the name belongs to Python, or to Cloacina and what it runs on; rename it"
            yield Problem("shadow", message, name)
        elif not name.isidentifier():
            message = "only modules and packages may stand at the top of a wheel"
            yield Problem("top-level", message, name)
        elif name not in declared:
            message = (
                "the name is neither the package's own, nor that of an entry point, nor declared "
                "in Import-Name or top_level.txt"
            )
            yield Problem("top-level", message, name)
    yield from _doubled_modules(files)


def _doubled_modules(files: Mapping[str, bytes]) -> Iterator[Problem]:
    """Yield modules that lie beside a package of the same name: only one would be imported."""
    packages = {path.rpartition("/")[0] for path in files if path.endswith(".py")}
    for path in sorted(files):
        if path.endswith(".py") and path.removesuffix(".py") in packages:
            yield Problem("top-level", "there are a module and a package of this name", path)
