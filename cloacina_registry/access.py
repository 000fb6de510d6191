"""Who may do what with packages: see `cloacina_core.model.access`."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from cloacina_core.model.access import WITHHELD, Act, Role, Rule, act, changes, changes_each, reads

_PUBLISH, _ADMIN = Role.PUBLISH, Role.ADMIN


def _published(uploads: Iterable[Any]) -> Iterable[str]:
    """Return the names of the files that were published."""
    return [done.release.filename for done in uploads]


VERBS: Mapping[str, Rule] = MappingProxyType(
    {
        "registry.upload": changes(_PUBLISH, "filename"),
        "registry.admit": reads("filename", role=_PUBLISH),
        "registry.publish": changes_each(_published, _PUBLISH),
        "registry.fetch": changes(_PUBLISH, "package", "version"),
        "registry.yank": changes(_PUBLISH, "package", "version", "reason"),
        "registry.unyank": changes(_PUBLISH, "package", "version"),
        "registry.delete": changes(_ADMIN, "package", "version"),
        "registry.transfer": changes(_ADMIN, "package", "reason"),
        "registry.note_trust": changes(_ADMIN),
        "registry.collect_garbage": changes(_ADMIN, None, "dry_run"),
        "registry.mark_broken": WITHHELD,  # for the engine that found it so
        "registry.set_status": WITHHELD,  # for withdrawals, which look at more
        "registry.of": WITHHELD,
        "registry.packages": reads(),
        "registry.releases": reads("package"),
        "registry.page": reads("package"),
        "registry.find": reads("package"),
        "registry.show": reads("package"),
        "registry.download": reads("package"),
        "registry.verified": reads(),
        "registry.changes": reads("package"),
        "registry.data": reads(),
        "registry.contents": reads(),
        "registry.owners": reads("package"),
        "registry.check": reads(role=_ADMIN),
        "registry.evidence.log": reads(),
        "registry.evidence.checkpoint": reads(),
        "registry.evidence.receipt": reads(),
        "registry.evidence.received": reads(),
        "registry.evidence.trust_version": reads(),
        "registry.evidence.audit": reads(),
        "registry.evidence.enter": WITHHELD,  # what changes something writes its own entry
        "registry.evidence.enter_trust": WITHHELD,
        "registry.evidence.enter_upload": WITHHELD,
        "registry.evidence.private_key": WITHHELD,
        "registry.dependencies.of": reads(),
        "registry.dependencies.data": reads(),
        "registry.dependencies.kept": reads(),
        "channels.promote": changes(_PUBLISH, "package", "version", "channel", "reason"),
        "channels.try_out": changes(_PUBLISH, "package", "version", "channel", "reason"),
        "channels.rollback": changes(_PUBLISH, "package", "channel", "reason"),
        "channels.pin": changes(_PUBLISH, "package", "channel", "reason"),
        "channels.unpin": changes(_PUBLISH, "package", "channel", "reason"),
        "channels.current": reads("package"),
        "channels.resolvable": reads("package"),
        "channels.get": reads("package"),
        "channels.history": reads("package"),
        "channels.seen": reads(),
        "channels.verdict": reads(),
        "channels.of": WITHHELD,
        "withdrawals.quarantine": changes(_PUBLISH, "package", "version", "reason"),
        "withdrawals.kill": changes(_PUBLISH, "package", "version", "reason"),
        "withdrawals.retire": changes(_PUBLISH, "package", "version", "reason"),
        "withdrawals.restore": changes(_PUBLISH, "package", "version"),
        "withdrawals.delete": changes(_ADMIN, "package", "version"),
        "withdrawals.channels_of": reads(),
    }
)
"""What can be done to a registry, its parts, the channels and the releases."""


def _of(verb: str, target: str | None = None) -> Act:
    return act(verb, target, rule=VERBS[verb])


def _trust(command: str, target: str | None = None) -> Act:
    return Act(f"trust.{command}", changes(_ADMIN), target)


ACTS: Mapping[str, Act | None] = MappingProxyType(
    {
        "registry upload": _of("registry.upload", "wheels"),
        "registry fetch": _of("registry.fetch", "release"),
        "registry import": _of("registry.publish", "file"),
        "registry list": _of("registry.page", "package"),
        "registry show": _of("registry.show", "release"),
        "registry download": _of("registry.download", "release"),
        "registry export": _of("registry.download", "releases"),
        "registry check": _of("registry.check"),
        "registry gc": _of("registry.collect_garbage"),
        "registry transfer": _of("registry.transfer", "package"),
        "registry yank": _of("registry.yank", "release"),
        "registry quarantine": _of("withdrawals.quarantine", "release"),
        "registry kill": _of("withdrawals.kill", "release"),
        "registry retire": _of("withdrawals.retire", "release"),
        "registry restore": _of("withdrawals.restore", "release"),
        "registry delete": _of("withdrawals.delete", "release"),
        "registry promote": _of("channels.promote", "release"),
        "registry rollback": _of("channels.rollback", "target"),
        "registry pin": _of("channels.pin", "target"),
        "registry channels": _of("channels.current", "target"),
        "registry audit list": _of("registry.evidence.log"),
        "registry audit verify": _of("registry.evidence.audit"),
        "registry audit checkpoint": _of("registry.evidence.checkpoint"),
        "registry audit prove": _of("registry.evidence.receipt", "release"),
        "registry audit check-receipt": None,  # of a file
        "trust add": _trust("add", "name"),
        "trust apply": _trust("apply", "paths"),
        "trust expires": _trust("expires"),
        "trust grant": _trust("grant", "pattern"),
        "trust remove": _trust("remove", "name"),
        "trust reserve": _trust("reserve", "pattern"),
        "trust retire": _trust("retire", "name"),
        "trust revoke": _trust("revoke", "name"),
        "trust rotate": _trust("rotate"),
        "trust policy": _trust("policy"),
        "trust ungrant": _trust("ungrant", "pattern"),
        "trust unreserve": _trust("unreserve", "pattern"),
        # What touches files of the caller alone: keys, packages that aren't uploaded, documents.
        "trust list": None,
        "trust show": None,
        "trust sign": None,
        "trust verify": None,
        "key list": None,
        "key new": None,
        "key show": None,
        "package build": None,
        "package diff": None,
        "package inspect": None,
        "package new": None,
        "package seal": None,
        "package sign": None,
        "package verify": None,
        "demo": None,
    }
)
"""What each command of the registry does; None: whoever can call it may."""
