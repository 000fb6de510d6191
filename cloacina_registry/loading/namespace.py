"""The private names under which the modules of a loaded release live.

The module `acme_etl.flows` of a release is the real module
`_cloacina.acme_etl_1_0_5f2c9a71b3d4.acme_etl.flows` of `sys.modules`, and classes and functions say
so in `__module__`. It has to be a real name: `dataclasses`, `typing.get_type_hints`, `pickle` and
`inspect` look modules up by it. `plain_text` turns it back for people to read.

Own are the modules of the package and of its locked dependencies. The package's code writes
`acme_etl.flows`, and gets its own release's module by

- every kind of import statement, at the top or later, in any thread, coroutine or process that it
  starts, through the `__import__` that its modules are given (`imports.py`);
- names handed to `importlib`, `importlib.util`, `importlib.resources`, `importlib.metadata`,
  `pkgutil` and `runpy`, through stand-ins for these modules (`stand_ins.py`).

Of the host it sees the standard library and `cloacina_core`, as it would in a worker.

What doesn't work, because code of others sees the plain name, and how to write it instead:

- `sys.modules["acme_etl.flows"]`: write `importlib.import_module("acme_etl.flows")`.
- Plain names that other libraries resolve, as in `logging.config.dictConfig`, `unittest.mock.patch`
  or pydantic's `ImportString`: hand over the object, or a name made with `__package__`.
- `builtins.__import__`: write `__import__`.
- `logging.getLogger("acme_etl")` is no parent of `getLogger(__name__)`: write `__package__`.
- Names added to `builtins` after the load (`gettext.install`, `mock.patch("builtins.open")`) aren't
  seen: each namespace has its own copy of them.
- Pickles are read only where the same release is loaded, as in processes that it starts.
- Files beside `__file__` are there only if the release was loaded with a folder: write
  `importlib.resources.files`, which works in every case.
- Native extensions import absolutely behind our back, and would get the host's modules: a release
  that has any is refused.
- Libraries that look along `sys.path` by themselves, as `pkg_resources`, find what is the host's.

`pitfalls.py` finds the most common of these in the source, and tells which need a worker. Unloading
is best effort, too: a class may live on in the caches of `typing`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cloacina_core.foundation.digest import Digest, hex_of
from cloacina_core.foundation.names import NAMESPACE_ROOT

DIGEST_DIGITS = 12


def short_digest(digest: Digest) -> str:
    """Return the first digits of a digest: enough for people to tell releases apart."""
    return hex_of(digest)[:DIGEST_DIGITS]


def namespace_prefix(package: str, version: str, digest: Digest, *, nth: int = 1) -> str:
    """Return the name of the module that is the parent of a release's top levels.

    Args:
        package: the package's normalised name.
        version: the release's version.
        digest: the digest of the release's contents.
        nth: above 1 when the name is taken: by another loader, or by a digest that begins alike.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", f"{package}_{version}".lower())
    suffix = "" if nth == 1 else f"_{nth}"
    return f"{NAMESPACE_ROOT}.{readable}_{short_digest(digest)}{suffix}"


@dataclass(frozen=True, slots=True)
class NamespaceNames:
    """The names of one namespace: which are its own, and what they are in `sys.modules`."""

    prefix: str
    top_levels: frozenset[str]

    @classmethod
    def of(cls, prefix: str, top_levels: Iterable[str]) -> "NamespaceNames":
        """Return the names of the namespace at a prefix."""
        return cls(prefix, frozenset(top_levels))

    def owns(self, name: str) -> bool:
        """Whether a plain module name, as `a.b` or `a.b:attribute`, is one of this namespace."""
        return name.partition(":")[0].partition(".")[0] in self.top_levels

    def real(self, name: str) -> str:
        """Return what an own name is in `sys.modules`; names of others stay as they are."""
        return f"{self.prefix}.{name}" if self.owns(name) else name

    def plain(self, name: str) -> str:
        """Return the name that `real` was given."""
        return name.removeprefix(f"{self.prefix}.")
