"""Where workflows come from: installed distributions first, then what plugins contribute."""

import logging
from collections.abc import Sequence
from functools import cached_property

from cloacina_core.engine.library import MissingCodeError
from cloacina_core.errors import InputError
from cloacina_core.model.release import Reference, Release
from cloacina_core.plugin.installed import InstalledSource
from cloacina_core.plugin.interfaces import RuntimeView, WorkflowSource
from cloacina_core.plugin.manager import Plugins
from cloacina_core.plugin.resolution import (
    ChosenRelease,
    Meaning,
    choose,
    require_startable,
    resolve,
)

_log = logging.getLogger(__name__)


class Sources:
    """All sources of workflows, of a runtime or of a command, which may do without them."""

    def __init__(self, view: RuntimeView, plugins: Plugins) -> None:
        self._view = view
        self._plugins = plugins

    @cached_property
    def all(self) -> Sequence[WorkflowSource]:
        """The sources; plugins make theirs when they are first asked for."""
        installed = InstalledSource()
        return (installed, *self._plugins.sources(self._view, taken=[installed.name]))

    def resolve(self, reference: str, source: str | None = None) -> Meaning:
        """Return what a reference means now.

        Args:
            reference: as `acme-etl/nightly>=1.2`.
            source: the name of the only source to look in.

        Raises:
            InputError: the reference can't be read, or there is no such source.
            NotFoundError: there is no such package, release, channel or workflow.
        """
        chosen = [known for known in self.all if source in (None, known.name)]
        if not chosen:
            names = ", ".join(known.name for known in self.all)
            raise InputError(f"there is no workflow source {source!r}", hint=f"there are: {names}")
        return resolve(Reference.parse(reference), chosen)

    def choose(self, reference: str) -> ChosenRelease:
        """Return which release a reference to a package means now, whichever workflow of it.

        Raises:
            InputError: the reference can't be read.
            NotFoundError: there is no such package, release or channel.
            ReleaseWithheldError: it was withdrawn.
        """
        return choose(Reference.parse(reference), self.all)

    def close(self) -> None:
        """Let go of all code that was loaded."""
        for source in self.all:
            try:
                source.close()
            except Exception:  # noqa: BLE001 - a plugin's; the others are closed all the same
                _log.exception("workflow source %r can't be closed", source.name)

    def check(self, release: Release, workflow: str) -> None:
        """Refuse a release that can't be started any more.

        Raises:
            MissingCodeError: it isn't here, or its source isn't.
            ReleaseWithheldError: it was withdrawn.
            CloacinaError: its source refuses it.
        """
        source = next((known for known in self.all if known.name == release.source), None)
        if source is None:
            raise MissingCodeError(
                f"release {release} came from source {release.source!r}, which isn't here",
                hint="see which plugins are loaded with: cloacina plugins list",
            )
        found = source.find(release.package, release.digest)
        if found is None:
            raise MissingCodeError(
                f"release {release} isn't in source {source.name!r} any more",
                hint="start a new run of what is there with: cloacina run",
            )
        require_startable(found, "start a new run of another release with: cloacina run")
        source.definition(release, workflow)
