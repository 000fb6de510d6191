"""What releases declare that starts their workflows, as it is switched on, of each kind alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from cloacina_core.errors import InputError, NotFoundError
from cloacina_core.foundation.names import nearest
from cloacina_core.model.polling.definition import DeclaredTrigger
from cloacina_core.model.release import Reference
from cloacina_core.model.schedule.declared import DeclaredSchedule
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_core.model.starts import Starts
from cloacina_core.plugin.resolution import ChosenRelease


class Declaration(Protocol):
    """What is declared to start a workflow."""

    @property
    def name(self) -> str:
        """Unique among those of its kind in the package."""
        ...


DeclaredT = TypeVar("DeclaredT", bound=Declaration)
DeclaredT_co = TypeVar("DeclaredT_co", bound=Declaration, covariant=True)


@dataclass(frozen=True, slots=True)
class Kind(Generic[DeclaredT_co]):
    """A kind of what starts workflows."""

    noun: str
    of: Callable[[Starts], Sequence[DeclaredT_co]]
    """Returns the declarations of this kind."""
    how: str
    """How one is declared, for who finds none."""


SCHEDULES: Kind[DeclaredSchedule] = Kind(
    "schedule",
    lambda starts: starts.schedules,
    "schedules are declared in [tool.cloacina.package.schedules] of its project",
)
SUBSCRIPTIONS: Kind[DeclaredSubscription] = Kind(
    "subscription",
    lambda starts: starts.subscriptions,
    "subscriptions are declared in [tool.cloacina.package.subscriptions] of its project",
)
TRIGGERS: Kind[DeclaredTrigger] = Kind(
    "trigger",
    lambda starts: starts.triggers,
    "a workflow declares one with @workflow.trigger(every='30s')",
)


class UnknownDeclarationError(NotFoundError):
    """A release declares nothing of this name."""

    code = "unknown-declaration"

    def __init__(
        self, release: str, kind: Kind[DeclaredT], name: str | None, known: Sequence[str]
    ) -> None:
        what = f"no {kind.noun}s" if name is None else f"no {kind.noun} {name[:100]!r}"
        meant = nearest(name or "", known) or known
        super().__init__(
            f"{release} declares {what}",
            hint=f"it declares {' and '.join(meant)}" if meant else kind.how,
        )


class NotEnabledError(NotFoundError):
    """Nothing was switched on by this reference."""

    code = "not-enabled"

    def __init__(self, kind: Kind[DeclaredT], reference: str, name: str | None) -> None:
        what = f"no {kind.noun}" if name is None else f"no {kind.noun} {name[:100]!r}"
        super().__init__(
            f"{what} was enabled by {reference}",
            hint="see what follows which reference in the list",
        )


def declared_by(
    chosen: ChosenRelease, kind: Kind[DeclaredT], name: str | None
) -> Sequence[DeclaredT]:
    """Return what a release declares of a kind: all, or that of a name.

    Raises:
        UnknownDeclarationError: there is none, or none of this name.
        CloacinaError: the release is refused.
    """
    declared = kind.of(chosen.starts())
    found = [one for one in declared if name in (None, one.name)]
    if not found:
        names = [one.name for one in declared]
        raise UnknownDeclarationError(str(chosen.release), kind, name, names)
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


def enabled_by(
    kind: Kind[DeclaredT],
    followed: Mapping[str, tuple[str, str]],
    reference: str,
    name: str | None,
) -> Sequence[str]:
    """Return the names in the store of what was enabled by a reference.

    Args:
        kind: of what.
        followed: the reference that each follows, and its name in the package, by its name.
        reference: as it was given when they were enabled.
        name: of one in the package; None: all.

    Raises:
        InputError: the reference can't be read or names a workflow.
        NotEnabledError: none was enabled so.
    """
    wanted = str(package_reference(reference))
    found = [
        kept_as
        for kept_as, (follows, declared_as) in followed.items()
        if follows == wanted and name in (None, declared_as)
    ]
    if not found:
        raise NotEnabledError(kind, wanted, name)
    return found
