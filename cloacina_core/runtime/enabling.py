"""What starts workflows and can be declared: switched on and off, of each kind alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from cloacina_core.errors import ConflictError, InputError
from cloacina_core.model.declared import Declared, RuleT
from cloacina_core.model.definition import WorkflowDefinition
from cloacina_core.model.following import Followed, Following
from cloacina_core.model.release import Reference
from cloacina_core.plugin.resolution import ChosenRelease
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.wanted import definition_of
from cloacina_core.services.declarations import (
    DeclaredT,
    Kind,
    declared_by,
    enabled_by,
    package_reference,
)
from cloacina_core.services.following import followed_anew
from cloacina_core.store.database import Database
from cloacina_core.store.following import FollowingStore

KeptT = TypeVar("KeptT")
"""What is kept for a declaration."""


class FollowingState(Protocol):
    """What is told of a rule that may follow a release."""

    @property
    def following(self) -> Following | None:
        """What it was declared by; None: people made it."""
        ...


StateT = TypeVar("StateT")
StateT_co = TypeVar("StateT_co", covariant=True)
FollowingStateT = TypeVar("FollowingStateT", bound=FollowingState)


class StarterStore(Protocol[StateT_co]):
    """Keeps what starts workflows, of one kind."""

    def pause(self, name: str, *, is_paused: bool) -> StateT_co:
        """Have it start nothing, or again."""
        ...

    def delete(self, name: str) -> None:
        """Forget it."""
        ...

    def get(self, name: str) -> StateT_co:
        """Return it, and how far it is."""
        ...

    def all(self) -> Sequence[StateT_co]:
        """Return all, by name."""
        ...


class Enabling(ABC, Generic[DeclaredT, KeptT, StateT]):
    """The verbs that schedules, subscriptions and triggers have in common.

    A name that a store doesn't have raises the `NotFoundError` of its kind.
    """

    _kind: Kind[DeclaredT]

    def __init__(self, database: Callable[[], Database], sources: Sources) -> None:
        """Prepare.

        Args:
            database: opens the store, when it is needed.
            sources: where packages come from.
        """
        self._database = database
        self._sources = sources

    def enable(
        self,
        reference: str,
        name: str | None = None,
        *,
        stored_as: str | None = None,
        paused: bool = False,
    ) -> Sequence[tuple[StateT, bool]]:
        """Switch on what a package declares, or nothing; it follows what its releases declare.

        When another release is meant by the reference, what that declares holds from then on. An
        exact version never changes. Of schedules and subscriptions, one that isn't declared any
        more is paused, with that reason, and what `update` changed stays as it was changed. Polls
        of a trigger that isn't declared any more fail.

        Args:
            reference: the package, with a channel or versions: `acme-etl@stable`, `acme-etl==1.2`.
            name: of one declaration of the package; None: all that it declares now.
            stored_as: how one is called here; None: `PACKAGE.NAME`.
            paused: whether they start nothing until they are resumed.

        Returns:
            Each as it is kept, and whether it is new.

        Raises:
            InputError: the reference can't be read or names a workflow, or there are several and
                one name.
            NotFoundError: there is no such package, release, channel or declaration.
            ConflictError: another one has a name.
        """
        followed = package_reference(reference)
        if stored_as is not None and name is None:
            message = f"a name to keep it by goes with the name of one declared {self._kind.noun}"
            raise InputError(message)
        chosen = self._sources.choose(reference)
        wanted = [
            self._made(one, stored_as or f"{followed.package}.{one.name}", followed, chosen)
            for one in declared_by(chosen, self._kind, name)
        ]
        with self._database().begin():
            return [self._keep(one, is_paused=paused) for one in wanted]

    def disable(self, reference: str, name: str | None = None) -> Sequence[str]:
        """Forget what was enabled, all or nothing, with its history; runs that it started go on.

        Args:
            reference: as it was given to `enable`.
            name: of one declaration of the package; None: all that were enabled by the reference.

        Returns:
            The names that they were kept by.

        Raises:
            InputError: the reference can't be read or names a workflow.
            NotEnabledError: none was enabled so.
        """
        names = enabled_by(self._kind, self._followed(), reference, name)
        with self._database().begin():
            for one in names:
                self._store.delete(one)
        return names

    def pause(self, name: str) -> StateT:
        """Have it start nothing until it is resumed; runs go on."""
        return self._store.pause(name, is_paused=True)

    def resume(self, name: str) -> StateT:
        """Have it go on from now; what would have been started meanwhile isn't made up for."""
        return self._store.pause(name, is_paused=False)

    def delete(self, name: str) -> None:
        """Forget it and its history; runs that it started go on."""
        self._store.delete(name)

    def get(self, name: str) -> StateT:
        """Return it, and how far it is."""
        return self._store.get(name)

    def all(self) -> Sequence[StateT]:
        """Return all, by name."""
        return self._store.all()

    @property
    @abstractmethod
    def _store(self) -> StarterStore[StateT]:
        """Keeps them."""

    @abstractmethod
    def _made(
        self, declared: DeclaredT, name: str, followed: Reference, chosen: ChosenRelease
    ) -> KeptT:
        """Return what is to be kept for a declaration.

        Args:
            declared: the declaration.
            name: what it is called in the store.
            followed: what it follows.
            chosen: what that means now.
        """

    @abstractmethod
    def _keep(self, kept: KeptT, *, is_paused: bool) -> tuple[StateT, bool]:
        """Keep it; return it, and whether it is new."""

    @abstractmethod
    def _followed(self) -> Mapping[str, tuple[str, str]]:
        """Return the reference that each follows, and its name in the package, by its name."""


class RuleStore(StarterStore[StateT_co], Protocol[StateT_co]):
    """Keeps rules: schedules or subscriptions."""

    def add(
        self, rule: Any, following: Following | None = None, *, is_paused: bool = False
    ) -> tuple[StateT_co, bool]:
        """Keep one."""
        ...


class FollowingRules(
    Enabling[Declared[RuleT], tuple[RuleT, Following], FollowingStateT],
    Generic[RuleT, FollowingStateT],
):
    """What schedules and subscriptions have in common: rules that follow what is declared."""

    def restore(self, name: str) -> FollowingStateT:
        """Have it be again what its package declares, without what `update` changed.

        It goes on from now.

        Raises:
            InputError: no package declared it.
            NotFoundError: there is none of this name, or what it follows isn't there any more, or
                declares it no more.
            ConflictError: somebody else changed it at this moment.
        """
        following = self._store.get(name).following
        if following is None:
            raise InputError(f"no package declared {self._kind.noun} {name!r}; people made it")
        chosen = self._sources.choose(following.reference)
        (declared,) = declared_by(chosen, self._kind, following.name)
        reference = Reference.parse(following.reference)
        rule, anew = followed_anew(declared, name, reference, chosen)
        if not self._following.follow(name, following, Followed(following=anew, rule=rule)):
            message = f"{self._kind.noun} {name!r} was changed meanwhile; look at it again"
            raise ConflictError(message)
        return self._store.get(name)

    def definition(self, reference: str) -> WorkflowDefinition:
        """Return what the workflow looks like that a reference means now."""
        return definition_of(self._sources.resolve(reference).usual)

    def _check(self, rule: RuleT) -> None:
        rule.require_taken_by(self.definition(rule.reference))

    @property
    @abstractmethod
    def _store(self) -> RuleStore[FollowingStateT]:
        """Keeps them."""

    @property
    @abstractmethod
    def _following(self) -> FollowingStore[RuleT]:
        """Knows what they follow."""

    def _made(
        self, declared: Declared[RuleT], name: str, followed: Reference, chosen: ChosenRelease
    ) -> tuple[RuleT, Following]:
        return followed_anew(declared, name, followed, chosen)

    def _keep(
        self, kept: tuple[RuleT, Following], *, is_paused: bool
    ) -> tuple[FollowingStateT, bool]:
        return self._store.add(*kept, is_paused=is_paused)

    def _followed(self) -> Mapping[str, tuple[str, str]]:
        followers = self._following.followers().items()
        return {name: (following.reference, following.name) for name, following in followers}
