"""What may lie in a package at all: pure Python source and data, under names of its own.

The rules follow from how packages are loaded: each release in its own namespace, from sources whose
digests are known, never installed. So nothing may rely on an installer (`.data`, `.pth`), on the
interpreter's start, or on the place of another package.

Native code escapes a namespace. A file of it is accepted when all of this holds:

1. The wheel is for platforms of one family, as its file name says (`filename`), and WHEEL says
   `Root-Is-Purelib: false` (`metadata`).
2. The manifest says that the package runs in workers (`checked`).
3. The file has the suffix of an extension module or a shared library on such platforms.
4. It begins as native code of these platforms does.

Everything else that is native is refused: programs, static libraries, and what is called something
else.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping

from cloacina_core.errors import Problem

HOST_NAMES = frozenset(
    {"cloacina_core", "cloacina_registry"}
    | {"alembic", "build", "click", "croniter", "cryptography", "flit_core", "importlib_metadata"}
    | {"jsonschema", "packaging", "pluggy", "psutil", "psycopg", "psycopg_binary", "pysqlite3"}
    | {"pyproject_hooks", "referencing", "rich", "securesystemslib", "sqlalchemy", "tomli_w"}
    | {"tzdata", "uv"}
    # what these depend on in their turn
    | {"_cffi_backend", "attr", "attrs", "cffi", "dateutil", "greenlet", "mako", "markdown_it"}
    | {"jsonschema_specifications", "markupsafe", "mdurl", "pycparser", "pygments", "rpds"}
    | {"typing_extensions", "zipp"}
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
_ELF = b"\x7fELF"
_MACH_O = (
    b"\xfe\xed\xfa\xce",  # 32 bits, in both byte orders
    b"\xce\xfa\xed\xfe",
    b"\xfe\xed\xfa\xcf",  # 64 bits
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",  # for several processors; and classes of Java
    b"\xca\xfe\xba\xbf",
)
_NATIVE_SIGNATURES = (
    _ELF,
    b"!<arch>\n",
    b"!<thin>\n",
    b"BC\xc0\xde",  # LLVM's bitcode
    b"\x00asm",
    *_MACH_O,
)
_LIBRARY_NAMES: Mapping[str, re.Pattern[str]] = {
    "linux": re.compile(r".*\.so(\.[0-9]+)*", re.IGNORECASE),
    "macosx": re.compile(r".*\.(so|dylib)", re.IGNORECASE),
    "win": re.compile(r".*\.(pyd|dll)", re.IGNORECASE),
}
_LIBRARY_FOLDER = ".libs"
"""Ends the folder where `auditwheel` and `delvewheel` put the libraries that a wheel links to."""
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


def content_problems(files: Mapping[str, bytes], family: str | None = None) -> Iterator[Problem]:
    """Yield files of kinds that have no place in a package.

    Args:
        files: the contents.
        family: the platforms that the wheel is for; None: it is pure.
    """
    for path, content in files.items():
        name = path.rpartition("/")[2].lower()
        folders = path.lower().split("/")[:-1]
        if is_startup_file(path):
            message = "files that run when an interpreter starts aren't accepted"
            yield Problem("startup-file", message, path)
        elif is_bytecode(path):
            yield Problem("bytecode", "bytecode isn't accepted, only source", path)
        elif is_native(path, content) and not _is_library(name, content, family):
            yield Problem("native", _native_message(family), path)
        if folders and folders[0].endswith(".data"):
            message = "nothing is installed, so files for other places aren't accepted"
            yield Problem("data-dir", message, path)


def is_startup_file(path: str) -> bool:
    """Whether lines of a file run when an interpreter starts, if it lies where `site` looks."""
    return path.lower().endswith(_STARTUP_SUFFIXES)


def is_bytecode(path: str) -> bool:
    """Whether a file is what Python may run in place of a source, or lies among such files."""
    path = path.lower()
    return path.endswith(_BYTECODE_SUFFIXES) or "__pycache__" in path.split("/")


def native_files(files: Mapping[str, bytes], family: str | None) -> tuple[str, ...]:
    """Return the files that are native code of a sort that is accepted."""
    return tuple(
        path
        for path, content in files.items()
        if _is_library(path.rpartition("/")[2], content, family)
    )


def _native_message(family: str | None) -> str:
    if family is None:
        return "native code isn't accepted in a pure wheel: it can't be kept in a namespace"
    return (
        f"only extension modules and shared libraries for {family} are accepted as native code, "
        "under names that say so"
    )


def _is_library(name: str, content: bytes, family: str | None) -> bool:
    """Whether a file is an extension module or a shared library for platforms of a family."""
    if family is None or not _LIBRARY_NAMES[family].fullmatch(name):
        return False
    match family:
        case "linux":
            return content.startswith(_ELF)
        case "macosx":
            return content.startswith(_MACH_O)
        case _:
            return _is_pe(content)


def is_native(path: str, content: bytes) -> bool:
    """Whether a file is called as native code is, or begins so, whatever it is called."""
    is_called_so = _NATIVE_NAME.fullmatch(path.rpartition("/")[2].lower()) is not None
    return is_called_so or content.startswith(_NATIVE_SIGNATURES) or _is_pe(content)


def _is_pe(content: bytes) -> bool:
    """Whether a file is a program or library for Windows."""
    pointer = int.from_bytes(content[_PE_POINTER_AT : _PE_POINTER_AT + 4], "little")
    return content[:2] == b"MZ" and content[pointer : pointer + 4] == b"PE\x00\x00"


def top_levels(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the names that the package's modules are imported under, sorted."""
    return tuple(
        sorted({path.split("/", maxsplit=1)[0].removesuffix(".py") for path in _code(files)})
    )


def _library_folders(files: Mapping[str, bytes], family: str | None) -> set[str]:
    """Return the folders of libraries at the top, in which nothing can be imported."""
    libraries = set(native_files(files, family))
    folders = {path.partition("/")[0] for path in libraries if "/" in path}
    others = {path.partition("/")[0] for path in files if path not in libraries}
    return {folder for folder in folders - others if folder.endswith(_LIBRARY_FOLDER)}


def _code(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the files outside of metadata and `.data` folders, which have rules of their own."""
    for path in files:
        if (
            not path.split("/", maxsplit=1)[0]
            .lower()
            .endswith((".dist-info", ".egg-info", ".data"))
        ):
            yield path


def name_problems(
    files: Mapping[str, bytes], declared: Collection[str], family: str | None = None
) -> Iterator[Problem]:
    """Yield top-level names that aren't the package's own, and modules that are there twice.

    Args:
        files: the contents.
        declared: the top-level names that the package says it provides.
        family: the platforms that the wheel is for; None: it is pure.
    """
    taken = {name.lower() for name in (*STANDARD_NAMES, *STARTUP_NAMES, *HOST_NAMES)}
    libraries = {
        folder
        for folder in _library_folders(files, family)
        if folder.removesuffix(_LIBRARY_FOLDER) in declared
    }
    for name in top_levels(files):
        if name in libraries:
            continue
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
