"""What the doctor says of secrets that are declared, and of what keeps them outside of the store.

Providers are asked, as attempts do, for what is declared; the values are dropped at once. One that
is silent is asked for one secret only, and none is asked for longer than an attempt would wait.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from cloacina_core.engine.stop import Stop
from cloacina_core.errors import CloacinaError, SecretMissingError
from cloacina_core.foundation.clock import Clock
from cloacina_core.model.finding import Finding
from cloacina_core.plugin.installed import InstalledSource
from cloacina_core.plugin.interfaces import WorkflowSource
from cloacina_core.runtime.secret_providers import (
    PATIENCE_SECONDS,
    AskedProvider,
    Providers,
    place_of,
)
from cloacina_core.runtime.sources import Sources
from cloacina_core.runtime.view import StoreView
from cloacina_core.store.declared import secrets_of_live_runs
from cloacina_core.store.secrets import SecretStore

PROBE = "doctor"
"""What stands for `*` in the name that a provider is asked for when nothing is declared."""

_MOST_NAMES = 5
"""How many names one line has."""


def findings(
    view: StoreView, sources: Sources, patience: float = PATIENCE_SECONDS
) -> Iterator[Finding]:
    """Yield what there is to say.

    Args:
        view: has the store, the settings and the plugins.
        sources: where workflows come from.
        patience: how many seconds each provider is asked at most.

    Raises:
        StoreError: the store can't be read.
    """
    declared = _declared(view, sources)
    stored = {info.name for info in SecretStore(view.database).all()}
    rules = view.settings.secret_providers
    elsewhere = {name for name in declared if place_of(rules, name) is not None}
    providers, missing = Providers(view, patience), declared.keys() - elsewhere - stored
    for place, names in _asked_for(rules, elsewhere).items():
        in_time = _in_time(names, view.clock, patience)
        finding, lacks = _look_at(providers.at(place), place, in_time)
        missing |= lacks & declared.keys()
        yield finding
    yield from _hidden(rules, stored)
    if declared:
        yield _declared_finding(declared, missing)


def _declared(view: StoreView, sources: Sources) -> Mapping[str, set[str]]:
    """Return the secrets that workflows may ask for, and which those are.

    It is what live runs may, and what new runs of a package or of one of its channels may. What
    is installed as a distribution would have to be imported for it: of that, live runs tell.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for name, who in secrets_of_live_runs(view.database):
        found[name].add(who)
    for source in sources.all:
        if not isinstance(source, InstalledSource):
            for name, who in _declared_in(sources, source):
                found[name].add(who)
    return found


def _declared_in(sources: Sources, source: WorkflowSource) -> Iterator[tuple[str, str]]:
    for package in source.packages():
        channels = [f"{package}@{channel.name}" for channel in source.channels(package)]
        for reference in (package, *channels):
            try:
                release = sources.choose(reference).release
                for workflow in release.workflows:
                    for name in source.definition(release, workflow).secrets:
                        yield name, f"{package}/{workflow}"
            except CloacinaError:  # nothing of it can be started, so nothing of it asks
                continue


def _asked_for(rules: Sequence[str], names: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Return for each place what it is to be asked for: what is declared, or else anything."""
    asked: dict[str, list[str]] = {}
    probes: dict[str, str] = {}
    for rule in rules:
        pattern, _, place = rule.partition("=")
        asked.setdefault(place, [])
        probes.setdefault(place, pattern.replace("*", PROBE))
    for name in sorted(names):
        if (place_of_name := place_of(rules, name)) is not None:
            asked[place_of_name].append(name)
    return {place: found or [probes[place]] for place, found in asked.items()}


def _in_time(names: Iterable[str], clock: Clock, patience: float) -> Iterator[str]:
    """Yield names until a patience in seconds is over; the first one in any case."""
    until = clock.monotonic() + patience
    for name in names:
        yield name
        if clock.monotonic() >= until:
            return


def _look_at(
    provider: AskedProvider, place: str, names: Iterable[str]
) -> tuple[Finding, Collection[str]]:
    """Return what is to say of a provider, and which of some secrets it doesn't have."""
    lacks: set[str] = set()
    wrong: list[CloacinaError] = []
    for name in names:
        try:
            provider.read(name, Stop())
        except SecretMissingError:
            lacks.add(name)
        except CloacinaError as error:
            wrong.append(error)
            if provider.is_silent:
                break
    what = f"secrets in {place}"
    if not wrong:
        return Finding(what, "ok", f"{provider} answers"), lacks
    others = f"; and {len(wrong) - 1} more can't be had" if len(wrong) > 1 else ""
    mend = wrong[0].hint or "see that it answers, and with what tasks can use"
    return Finding(what, "fail", f"{wrong[0].message}{others}", mend), lacks


def _hidden(rules: Sequence[str], stored: Collection[str]) -> Iterator[Finding]:
    by_place: dict[str, list[str]] = defaultdict(list)
    for name in sorted(stored):
        if (place := place_of(rules, name)) is not None:
            by_place[place].append(name)
    for place, names in by_place.items():
        yield Finding(
            "hidden secrets",
            "warn",
            f"{_listed(names)}: stored, and not used, since {place} is asked",
            "delete them, with cloacina secret delete, or change the setting secret_providers",
        )


def _declared_finding(declared: Mapping[str, set[str]], missing: Collection[str]) -> Finding:
    if not missing:
        return Finding("declared secrets", "ok", f"{len(declared)}, none of them missing")
    told = [f"{name} (for {_listed(sorted(declared[name]))})" for name in sorted(missing)]
    return Finding(
        "declared secrets",
        "warn",
        f"nobody has {_listed(told)}",
        "set them, with cloacina secret set, or put them where the setting secret_providers says",
    )


def _listed(names: Sequence[str]) -> str:
    others = len(names) - _MOST_NAMES
    told = ", ".join(names[:_MOST_NAMES])
    return f"{told} and {others} more" if others > 0 else told
