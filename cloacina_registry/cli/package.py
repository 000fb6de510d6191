"""`cloacina package`: make packages, and look into them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from cloacina_core.cli.console import Console, command_options, pass_console
from cloacina_core.cli.passphrase import passphrase_options
from cloacina_core.errors import InputError
from cloacina_core.model.drawing import draw_workflow
from cloacina_core.model.starts import Starts
from cloacina_registry.cli.comparisons import told_comparison
from cloacina_registry.cli.trust.signing import read_trust
from cloacina_registry.errors import UnknownKeyError
from cloacina_registry.manifest import CAPABILITIES, IsolationWish, Manifest, capability_problems
from cloacina_registry.package.building import (
    WrittenPackage,
    build_package,
    seal_file,
    sign_file,
    write_package,
)
from cloacina_registry.package.comparison import Side, compare
from cloacina_registry.package.declaration import Declaration
from cloacina_registry.package.inspection import Inspection, inspect_file
from cloacina_registry.package.scaffold import make_project
from cloacina_registry.package.sealing import SealedPackage
from cloacina_registry.package.verdict import Verdict, judge
from cloacina_registry.registry import Registry, parse_exact
from cloacina_registry.trust.envelope import ENVELOPE_SUFFIX
from cloacina_registry.trust.external import ExternalKey
from cloacina_registry.trust.keyring import DEFAULT_KEY, KeyRing
from cloacina_registry.trust.keys import PrivateKey, PublicKey, SigningKey
from cloacina_registry.trust.policy import TrustPolicy
from cloacina_registry.trust.signed import refuse_if_any
from cloacina_registry.trust.store import TrustStore

_REFUSED = 2
_PATH = click.Path(path_type=Path)
_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group("package")
def package() -> None:
    """Make packages, and look into them."""


@package.command("new")
@click.argument("name")
@click.option("--directory", type=_PATH, help="Where the project goes.  [default: ./NAME]")
@command_options
@pass_console
def new(console: Console, *, name: str, directory: Path | None) -> None:
    """Start a project: package NAME, with a small workflow and its test."""
    made = make_project(name, directory)
    console.emit(
        {
            "folder": str(made.folder),
            "package": made.package,
            "module": made.module,
            "files": list(made.files),
        },
        str(made.folder),
    )
    console.say(f"made project {made.package}; next: cloacina package build {made.folder}")


def _signing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the commands that sign. Stands above `command_options`."""
    for option in (
        click.option("--no-sign", is_flag=True, help="Leave the signature out."),
        click.option(
            "--key", "key_name", default=DEFAULT_KEY, show_default=True, help="Sign with this key."
        ),
    ):
        function = option(function)
    return function


@package.command("build")
@click.argument("project", type=_PATH, default=Path())
@click.option("--out", type=_FOLDER, help="The folder to write to.  [default: PROJECT/dist]")
@click.option(
    "--isolation/--no-isolation",
    "isolated",
    default=None,
    help="Give the build backend an environment of its own.  [default: if something is missing]",
)
@click.option(
    "--update-lock", "locking", flag_value="update", help="Lock the newest dependencies that fit."
)
@click.option(
    "--no-lock", "locking", flag_value="none", help="Leave the lock out; only without dependencies."
)
@_signing_options
@command_options
@pass_console
@passphrase_options(confirm=False)
def build(
    console: Console,
    *,
    project: Path,
    out: Path | None,
    isolated: bool | None,
    locking: str | None,
    key_name: str,
    no_sign: bool,
    passphrase: str | None,
) -> None:
    """Build PROJECT into a signed package."""
    key = None if no_sign else _signing_key(console, key_name, passphrase)
    progress = _Teller(console)
    built = build_package(
        project,
        key=key,
        progress=progress,
        isolated=isolated,
        update_lock=locking == "update",
        no_lock=locking == "none",
    )
    written = write_package(built, project / "dist" if out is None else out, progress)
    _tell_package(console, built, written, key_name)


@package.command("seal")
@click.argument("wheel", type=_PATH)
@click.option("--out", type=_FOLDER, help="The folder to write to.  [default: that of WHEEL]")
@click.option("--lock", "lock_file", type=_PATH, help="Take this pylock.toml.")
@click.option(
    "--isolation",
    type=click.Choice(get_args(IsolationWish)),
    help="Where the package wishes to run.  [default: as it says if it was sealed before, or auto]",
)
@click.option(
    "--capability",
    "capabilities",
    metavar="WORD",
    multiple=True,
    help=f"What it needs beyond computing, of {', '.join(CAPABILITIES)}; may be repeated.",
)
@_signing_options
@command_options
@pass_console
@passphrase_options(confirm=False)
def seal(
    console: Console,
    *,
    wheel: Path,
    out: Path | None,
    lock_file: Path | None,
    key_name: str,
    no_sign: bool,
    passphrase: str | None,
    **declared: Any,
) -> None:
    """Make WHEEL a package: add manifest, lock and signature to what another tool built."""
    key = None if no_sign else _signing_key(console, key_name, passphrase)
    progress = _Teller(console)
    sealed = seal_file(
        wheel,
        key=key,
        progress=progress,
        lock_file=lock_file,
        declaration=_declaration(**declared),
    )
    written = write_package(sealed, wheel.parent if out is None else out, progress)
    _tell_package(console, sealed, written, key_name)


def _declaration(
    *, isolation: IsolationWish | None, capabilities: tuple[str, ...]
) -> Declaration | None:
    """Return what the options of `seal` declare; None: nothing."""
    if isolation is None and not capabilities:
        return None
    if wrong := list(capability_problems(capabilities)):
        raise InputError(wrong[0])
    return Declaration(
        isolation=isolation or "auto", capabilities=tuple(sorted(capabilities)) or None
    )


@package.command("sign")
@click.argument("wheel", type=_PATH)
@click.option(
    "--key",
    "key_names",
    metavar="NAME",
    multiple=True,
    help=f"Sign with this key; may be repeated.  [default: {DEFAULT_KEY}]",
)
@click.option(
    "--signer",
    metavar="URI",
    help="Sign with a key outside: file2:PATH, hsm:..., awskms:ID and others (extra kms).",
)
@click.option("--public", "public_file", type=_PATH, help="The public half of the key outside.")
@command_options
@pass_console
@passphrase_options(confirm=False)
def sign(
    console: Console,
    *,
    wheel: Path,
    key_names: tuple[str, ...],
    signer: str | None,
    public_file: Path | None,
    passphrase: str | None,
) -> None:
    """Add signatures to the package WHEEL. Its bytes stay, and so do the signatures it has.

    Nobody is asked, and nothing is sent; with --signer, the key's own service is.
    """
    if (signer is None) is not (public_file is None):
        raise InputError("--signer and --public go together: the one signs, the other says who")
    names = key_names or ((DEFAULT_KEY,) if signer is None else ())
    ring = KeyRing(console.settings.home)
    keys: list[SigningKey] = [ring.load_private(name, passphrase) for name in names]
    if signer is not None and public_file is not None:
        keys.append(ExternalKey.open(signer, _public_key(public_file)))
    signed = sign_file(wheel, keys)
    console.emit(
        {
            "file": str(wheel),
            "attestation": str(signed.attestation),
            "package": signed.wheel.name,
            "version": signed.wheel.version,
            "digest": signed.wheel.digest,
            "signed_by": [key.public.key_id for key in keys],
            "signatures": len(signed.signatures),
        },
        str(signed.attestation),
    )
    console.say(f"signatures of {signed.wheel.filename} now: {len(signed.signatures)}")


def _public_key(path: Path) -> PublicKey:
    try:
        return PublicKey.parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} can't be read: {error}") from error


def _signing_key(console: Console, name: str, passphrase: str | None) -> PrivateKey:
    # Before anything is built: without a key, the work would be for nothing.
    try:
        return KeyRing(console.settings.home).load_private(name, passphrase)
    except UnknownKeyError as error:
        makes = "cloacina init" if name == DEFAULT_KEY else f"cloacina key new {name}"
        raise UnknownKeyError(
            name, error.nearest, hint=f"make it with: {makes}; or leave it out with --no-sign"
        ) from error


def _tell_package(
    console: Console, package: SealedPackage, written: WrittenPackage, key_name: str
) -> None:
    wheel = package.wheel
    signed_by = None if package.attestation is None else key_name
    workflows = list(wheel.manifest.by_name)
    console.emit(
        {
            "file": str(written.wheel),
            "attestation": None if written.attestation is None else str(written.attestation),
            "package": wheel.name,
            "version": wheel.version,
            "digest": wheel.digest,
            "size": wheel.size,
            "workflows": workflows,
            "signed_by": signed_by,
            "lock": None if package.lock is None else {"packages": len(package.lock.packages)},
            "placement": package.placement.to_json(),
        },
        str(written.wheel),
    )
    console.say(
        f"built {wheel.name} {wheel.version} ({', '.join(workflows)}), "
        + (f"signed by {signed_by}" if signed_by else "not signed")
    )
    console.say(f"it runs in a {package.placement.isolation}: {package.placement.reason}")


class _Teller:
    """Tells a person how far the work is; other programs only what they must know."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell what is done, and how long it took."""
        began = self._console.clock.monotonic()
        yield
        seconds = self._console.clock.monotonic() - began
        if self._console.is_terminal:
            self._console.say(f"{what} ({seconds:.1f} s)")

    def note(self, text: str) -> None:
        """Tell it, whoever listens."""
        self._console.say(text)

    def output(self, program: str, text: str) -> None:
        """Show it only with --debug."""
        if self._console.debug and text:
            self._console.say(f"{program} wrote:\n{text.rstrip()}")


@package.command("inspect")
@click.argument("file", type=_PATH)
@command_options
@pass_console
def inspect(console: Console, *, file: Path) -> None:
    """Show what is in the package FILE. None of its code is run."""
    found = inspect_file(file, _trust(console), console.clock.now())
    console.emit(found.to_json(), _inspection_text(found))


def _trust(console: Console, file: Path | None = None) -> TrustPolicy:
    if file is None:
        return TrustStore(console.settings.home, console.clock).policy()
    trust = read_trust(file)
    refuse_if_any(str(file), (*trust.problems(), *trust.expiry_problems(console.clock.now())))
    return trust.policy


def _inspection_text(found: Inspection) -> str:
    wheel = found.wheel
    lines = {
        "package": f"{wheel.name} {wheel.version}",
        "file": f"{wheel.filename}, {wheel.size} bytes",
        "digest": wheel.digest,
        "signed by": _signers_text(found),
        "needs": f"Cloacina {wheel.manifest.requires_core or 'any'}, "
        f"Python {wheel.requires_python or 'any'}",
        "locked": _lock_text(found),
        "isolation": _isolation_text(found),
        "may": _capabilities_text(wheel.manifest),
    }
    return "\n\n".join(
        [
            "\n".join(f"{name:<10} {value}" for name, value in lines.items()),
            *(draw_workflow(workflow.definition) for workflow in wheel.manifest.workflows),
            *_starts_text(wheel.manifest.starts),
            "files\n"
            + "\n".join(f"  {len(data):>9}  {path}" for path, data in wheel.files.items()),
        ]
    )


def _starts_text(starts: Starts) -> Iterator[str]:
    """Yield what is declared to start workflows, one paragraph for each kind."""
    for kind, declared in starts.by_kind.items():
        if declared:
            yield "\n".join((kind, *(f"  {one}" for one in declared)))


def _isolation_text(found: Inspection) -> str:
    wish = found.wheel.manifest.isolation
    return f"{wish}, so {found.placement.isolation}: {found.placement.reason}"


def _capabilities_text(manifest: Manifest) -> str:
    if manifest.capabilities is None:
        return "do what its process may: it doesn't say what it needs"
    return ", ".join(CAPABILITIES[word] for word in manifest.capabilities) or "only compute"


def _signers_text(found: Inspection) -> str:
    names = ", ".join(f"{signer.name} ({signer.key_id})" for signer in found.signers)
    reasons = "; ".join(problem.message for problem in found.trust_problems)
    return "; ".join(filter(None, (names or "nobody we trust", reasons)))


def _lock_text(found: Inspection) -> str:
    if found.lock is None:
        return "no lock, and no dependencies"
    packages = [f"{package.name} {package.version}" for package in found.lock.packages]
    return ", ".join(packages) or "no dependencies"


@package.command("verify")
@click.argument("files", metavar="FILE...", type=_PATH, nargs=-1, required=True)
@click.option("--content-only", is_flag=True, help="Don't ask who made it.")
@click.option(
    "--attestation", type=_PATH, help="The signature; found beside the file when not given."
)
@click.option(
    "--trust", "trust_file", type=_PATH, help="Ask this trust document, not that of the home."
)
@click.option("--offline", is_flag=True, help="Ask nobody else; it never does.")
@command_options
@pass_console
def verify(
    console: Console,
    *,
    files: tuple[Path, ...],
    content_only: bool,
    attestation: Path | None,
    trust_file: Path | None,
    offline: bool,  # noqa: ARG001 - so that scripts can say what they rely on
) -> int:
    """Say whether each FILE is a package that we would take. Ends with 2 if one isn't.

    The network is never used: all that is asked are the files, their signatures, and the trust
    document. One given with --trust must be signed by its own root keys and not have expired;
    whether these are the right ones is for you to know.
    """
    wheels = [file for file in files if not file.name.endswith(ENVELOPE_SUFFIX)]
    if not wheels:
        raise InputError("there is no wheel among these files")
    if attestation is not None and len(wheels) != 1:
        raise InputError("--attestation goes with one file; several find theirs beside them")
    now = console.clock.now()
    trust = None if content_only else _trust(console, trust_file)
    verdicts = [judge(file, attestation=attestation, trust=trust, now=now) for file in wheels]
    console.emit(
        [verdict.to_json() for verdict in verdicts],
        "\n".join(line for verdict in verdicts for line in _verdict_lines(verdict)),
    )
    return 0 if all(verdict.accepted for verdict in verdicts) else _REFUSED


def _verdict_lines(verdict: Verdict) -> Iterator[str]:
    signers = ", ".join(signer.name for signer in verdict.signers)
    by = f", signed by {signers}" if signers else ""
    yield f"{verdict.file}: {'accepted' if verdict.accepted else 'refused'}{by}"
    for problem in verdict.problems:
        yield f"  - {problem}"
    if verdict.placement is not None:
        yield f"  runs in a {verdict.placement.isolation}: {verdict.placement.reason}"
    for warning in verdict.warnings:
        yield f"  - warning: {warning}"
    if verdict.hint:
        yield f"  help: {verdict.hint}"


@package.command("diff")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@command_options
@pass_console
def diff(console: Console, *, old: str, new: str) -> None:
    """Say what changed between two packages. None of their code is run.

    Each is a wheel, or a release in the registry, as PACKAGE==VERSION.
    """
    found = compare(_side(console, old), _side(console, new))
    console.emit(found.to_json(), told_comparison(found))


def _side(console: Console, what: str) -> Side:
    if "==" not in what or Path(what).exists():
        return Side.of(inspect_file(Path(what), _trust(console), console.clock.now()))
    there = Registry.of(console.view)
    verified = there.verified(there.show(*parse_exact(what)))
    return Side(verified.wheel, verified.signers)
