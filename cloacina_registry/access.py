"""Who may do what with packages: see `cloacina_core.model.access`."""

from collections.abc import Mapping
from types import MappingProxyType

from cloacina_core.model.access import WITHHELD, Role, Rule, changes, reads

_PUBLISH, _ADMIN = Role.PUBLISH, Role.ADMIN

VERBS: Mapping[str, Rule] = MappingProxyType(
    {
        "registry.upload": changes(_PUBLISH, "filename"),
        "registry.admit": reads("filename", role=_PUBLISH),
        "registry.publish": changes(_PUBLISH),
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
        "registry.evidence.received_at": reads(),
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
