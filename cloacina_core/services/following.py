"""Has schedules that packages declared follow their channels from release to release."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cloacina_core.engine.acceptance import RunRequest, Wanted
from cloacina_core.errors import (
    CloacinaError,
    InputError,
    NotFoundError,
    StoreError,
)
from cloacina_core.foundation.names import nearest
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.release import Reference, ResolvedBy
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.schedule.following import Followed, Following
from cloacina_core.model.schedule.schedule import Schedule
from cloacina_core.plugin.resolution import ChosenRelease
from cloacina_core.store.following import FollowingStore

_log = logging.getLogger(__name__)


class UnknownDeclarationError(NotFoundError):
    """A release declares nothing of this name."""

    code = "unknown-declaration"

    def __init__(self, release: str, name: str | None, known: Sequence[str]) -> None:
        what = "no schedules" if name is None else f"no schedule {name[:100]!r}"
        near = nearest(name or "", known)
        meant = near or known
        super().__init__(
            f"{release} declares {what}",
            hint=f"it declares {' and '.join(meant)}"
            if meant
            else "schedules are declared in [tool.cloacina.package.schedules] of its project",
        )


def declared_by(chosen: ChosenRelease, name: str | None) -> Sequence[DeclaredSchedule]:
    """Return the schedules that a release declares: all, or that of a name.

    Raises:
        UnknownDeclarationError: there are none, or none of this name.
        CloacinaError: the release is refused.
    """
    schedules = chosen.starts().schedules
    found = [one for one in schedules if name in (None, one.name)]
    if not found:
        raise UnknownDeclarationError(str(chosen.release), name, [one.name for one in schedules])
    return found


def package_reference(text: str) -> Reference:
    """Return the reference to a package that a text spells.

    Raises:
        InputError: it spells none, or one to a workflow.
    """
    reference = Reference.parse(text)
    if reference.workflow is not None:
        raise InputError(
            f"{text[:100]!r} names a workflow; the package says which one is started",
            hint="write PACKAGE@CHANNEL, or PACKAGE with versions as PACKAGE==1.2",
        )
    return reference


def followed_anew(
    declaration: DeclaredSchedule, name: str, reference: Reference, chosen: ChosenRelease
) -> tuple[Schedule, Following]:
    """Return the schedule to keep for a declaration, and what it follows.

    Args:
        declaration: what the release declares.
        name: what it is called in the store.
        reference: what it follows.
        chosen: what that means now.

    Raises:
        InputError: the name can't be used, or the params don't fit the workflow.
        CloacinaError: the release is refused.
    """
    following = Following(
        schedule=declaration.name,
        reference=str(reference),
        version=chosen.release.version,
        digest=chosen.release.digest,
        is_pinned=chosen.resolution.by is ResolvedBy.PIN,
    )
    schedule = following.applied(name, declaration)
    require_fit(schedule, chosen.definition(declaration.workflow))
    return schedule, following


def require_fit(schedule: Schedule, definition: WorkflowDefinition) -> None:
    """Refuse a schedule whose runs couldn't be accepted.

    Raises:
        InputError: its params don't fit the workflow.
    """
    wanted = Wanted(definition, schedule.reference)
    RunRequest.checked(wanted, schedule.params, priority=schedule.priority)


class Follower:
    """Looks which release each reference means, and has schedules be what that declares."""

    def __init__(self, store: FollowingStore, choose: Callable[[str], ChosenRelease]) -> None:
        """Prepare.

        Args:
            store: of schedules.
            choose: returns what a reference to a package means now.
        """
        self._store = store
        self._choose = choose
        self._told: dict[str, str] = {}
        """Why references can't be followed, as it was told last."""

    def look(self) -> None:
        """Follow what has moved.

        Raises:
            StoreError: the store failed.
        """
        for reference, followers in _by_reference(self._store.followers()).items():
            try:
                chosen = self._choose(reference)
                for name, following in followers:
                    if following.digest != chosen.release.digest:
                        self._store.follow(name, following, followed(name, following, chosen))
                self._told.pop(reference, None)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a source may be a plugin's; the last one holds
                self._tell(reference, error)

    def _tell(self, reference: str, error: Exception) -> None:
        """Say once why a reference can't be followed."""
        if self._told.get(reference) != str(error):
            is_fault = not isinstance(error, CloacinaError)
            told = "schedules can't follow %s now: %s"
            _log.warning(told, reference, error, exc_info=is_fault)
            self._told[reference] = str(error)


def followed(name: str, following: Following, chosen: ChosenRelease) -> Followed:
    """Return what is to become of a stored schedule, now that it follows a release.

    Args:
        name: of the schedule.
        following: what it followed.
        chosen: the release.

    Raises:
        CloacinaError: the release is refused.
    """
    release = chosen.release
    following = replace(following, version=release.version, digest=release.digest)
    try:
        (declaration,) = declared_by(chosen, following.schedule)
        schedule = following.applied(name, declaration)
        require_fit(schedule, chosen.definition(declaration.workflow))
    except UnknownDeclarationError as error:
        return Followed(following=following, schedule=None, reason=error.message)
    except InputError as error:  # what an operator changed doesn't fit
        reason = f"what was changed of it doesn't go with {release}: {error.message}"
        return Followed(following=following, schedule=None, reason=reason)
    return Followed(following=following, schedule=schedule)


def _by_reference(
    followers: Mapping[str, Following],
) -> Mapping[str, Sequence[tuple[str, Following]]]:
    """Return the schedules that may have to move, by what they follow."""
    found: dict[str, list[tuple[str, Following]]] = {}
    for name, following in followers.items():
        if not following.is_pinned:
            found.setdefault(following.reference, []).append((name, following))
    return found
