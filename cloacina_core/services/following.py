"""Has what packages declared follow their channels from release to release."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

from cloacina_core.errors import CloacinaError, InputError, StoreError
from cloacina_core.model.declared import Declared, RuleT
from cloacina_core.model.following import Followed, Following
from cloacina_core.model.release import Reference, ResolvedBy
from cloacina_core.plugin.resolution import ChosenRelease
from cloacina_core.services.declarations import (
    SCHEDULES,
    SUBSCRIPTIONS,
    Kind,
    UnknownDeclarationError,
    declared_by,
)
from cloacina_core.store.database import Database
from cloacina_core.store.following import FollowingStore
from cloacina_core.store.schedule_following import ScheduleFollowing
from cloacina_core.store.subscription_following import SubscriptionFollowing

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Followers(Generic[RuleT]):
    """The rules of one kind that follow releases."""

    kind: Kind[Declared[RuleT]]
    store: FollowingStore[RuleT]


def all_followers(database: Database) -> Sequence[Followers[Any]]:
    """Return all that follows releases in a store."""
    return (
        Followers(SCHEDULES, ScheduleFollowing(database)),
        Followers(SUBSCRIPTIONS, SubscriptionFollowing(database)),
    )


def following_of(name: str, reference: Reference, chosen: ChosenRelease) -> Following:
    """Return what a rule follows that is declared by what a reference means now.

    Args:
        name: of the rule in the package.
        reference: what it follows.
        chosen: what that means now.
    """
    return Following(
        name=name,
        reference=str(reference),
        version=chosen.release.version,
        digest=chosen.release.digest,
        is_pinned=chosen.resolution.by is ResolvedBy.PIN,
    )


def followed_anew(
    declaration: Declared[RuleT], name: str, reference: Reference, chosen: ChosenRelease
) -> tuple[RuleT, Following]:
    """Return the rule to keep for a declaration, and what it follows.

    Args:
        declaration: what the release declares.
        name: what it is called in the store.
        reference: what it follows.
        chosen: what that means now.

    Raises:
        InputError: the name can't be used, or the params don't fit the workflow.
        CloacinaError: the release is refused.
    """
    following = following_of(declaration.name, reference, chosen)
    rule = following.applied(name, declaration)
    rule.require_taken_by(chosen.definition(declaration.workflow))
    return rule, following


class Follower:
    """Looks which release each reference means, and has rules be what that declares."""

    def __init__(
        self, followers: Sequence[Followers[Any]], choose: Callable[[str], ChosenRelease]
    ) -> None:
        """Prepare.

        Args:
            followers: what follows releases.
            choose: returns what a reference to a package means now.
        """
        self._followers = followers
        self._choose = choose
        self._told: dict[str, str] = {}
        """Why references can't be followed, as it was told last."""

    def look(self) -> None:
        """Follow what has moved.

        Raises:
            StoreError: the store failed.
        """
        for reference, moves in self._by_reference().items():
            try:
                chosen = self._choose(reference)
                for followers, name, following in moves:
                    if following.digest != chosen.release.digest:
                        anew = followed(followers.kind, name, following, chosen)
                        followers.store.follow(name, following, anew)
                self._told.pop(reference, None)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - a source may be a plugin's; the last one holds
                self._tell(reference, error)

    def _by_reference(self) -> Mapping[str, Sequence[tuple[Followers[Any], str, Following]]]:
        """Return what may have to move, by the reference that it follows."""
        found: dict[str, list[tuple[Followers[Any], str, Following]]] = {}
        for followers in self._followers:
            for name, following in followers.store.followers().items():
                if not following.is_pinned:
                    found.setdefault(following.reference, []).append((followers, name, following))
        return found

    def _tell(self, reference: str, error: Exception) -> None:
        """Say once why a reference can't be followed."""
        if self._told.get(reference) != str(error):
            is_fault = not isinstance(error, CloacinaError)
            told = "%s can't be followed now: %s"
            _log.warning(told, reference, error, exc_info=is_fault)
            self._told[reference] = str(error)


def followed(
    kind: Kind[Declared[RuleT]], name: str, following: Following, chosen: ChosenRelease
) -> Followed[RuleT]:
    """Return what is to become of a stored rule, now that it follows a release.

    Args:
        kind: of the rule.
        name: of the rule.
        following: what it followed.
        chosen: the release.

    Raises:
        CloacinaError: the release is refused.
    """
    release = chosen.release
    following = replace(following, version=release.version, digest=release.digest)
    try:
        (declaration,) = declared_by(chosen, kind, following.name)
        rule = following.applied(name, declaration)
        rule.require_taken_by(chosen.definition(declaration.workflow))
    except UnknownDeclarationError as error:
        return Followed(following=following, rule=None, reason=error.message)
    except InputError as error:  # what an operator changed doesn't fit
        reason = f"what was changed of it doesn't go with {release}: {error.message}"
        return Followed(following=following, rule=None, reason=reason)
    return Followed(following=following, rule=rule)
