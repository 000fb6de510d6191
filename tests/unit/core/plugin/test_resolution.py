"""Which release a reference means, by the rules of PEP 440."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from cloacina_core.errors import (
    AmbiguousReferenceError,
    ReferenceSyntaxError,
    UnknownPackageError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.model.release import Reference, Release
from cloacina_core.plugin.resolution import choose_release, choose_workflow, resolve


def release(
    version: str = "1.0", *workflows: str, package: str = "acme", yanked: bool = False
) -> Release:
    return Release(
        source="s",
        package=package,
        version=version,
        digest=digest_of_text(version),
        workflows=workflows or ("nightly",),
        yanked=yanked,
    )


def chosen(reference: str, *versions: str) -> str:
    """Return the version that is chosen; those with an exclamation mark are yanked."""
    candidates = [release(text.rstrip("!"), yanked=text.endswith("!")) for text in versions]
    return choose_release(Reference.parse(reference), candidates).version


class Source:
    """A source of releases that are handed in."""

    def __init__(self, name: str, *releases: Release) -> None:
        self.name = name
        self._releases = releases

    def packages(self) -> list[str]:
        return sorted({release.package for release in self._releases})

    def releases(self, package: str) -> list[Release]:
        return [release for release in self._releases if release.package == package]


class TestChoosingARelease:
    @pytest.mark.parametrize(
        ("reference", "versions", "expected"),
        [
            ("acme", ["1.0", "1.10", "1.9"], "1.10"),
            ("acme>=1.2,<2", ["1.1", "1.2", "1.9", "2.0"], "1.9"),
            ("acme==1.*", ["1.1", "1.9", "2.0"], "1.9"),
            ("acme~=1.4", ["1.3", "1.4", "1.9", "2.0"], "1.9"),
            ("acme!=1.9", ["1.3", "1.9"], "1.3"),
            ("acme==1.0", ["1.0.0"], "1.0.0"),
            ("acme==1!1.0", ["1.0", "1!1.0"], "1!1.0"),
            ("acme", ["1.0", "1.0.post1"], "1.0.post1"),
        ],
    )
    def test_the_newest_that_fits_is_chosen(
        self, reference: str, versions: list[str], expected: str
    ):
        assert chosen(reference, *versions) == expected

    @pytest.mark.parametrize(
        ("reference", "expected"),
        [("acme", "1.0"), ("acme>=0.5", "1.0"), ("acme>=2.0a1", "2.0b1"), ("acme==2.0b1", "2.0b1")],
    )
    def test_a_pre_release_only_when_the_specifier_names_one(self, reference: str, expected: str):
        assert chosen(reference, "1.0", "2.0b1") == expected

    def test_also_when_there_are_only_pre_releases(self):
        with pytest.raises(UnknownReleaseError):
            chosen("acme", "2.0b1")

    @pytest.mark.parametrize(
        ("reference", "expected"), [("acme", "1.0"), ("acme>=1.0", "1.0"), ("acme==2.0", "2.0")]
    )
    def test_a_yanked_release_only_by_an_exact_pin(self, reference: str, expected: str):
        assert chosen(reference, "1.0", "2.0!") == expected

    def test_a_prefix_is_no_exact_pin(self):
        with pytest.raises(UnknownReleaseError):
            chosen("acme==2.*", "1.0", "2.0!")

    def test_what_there_is_is_told_when_nothing_fits(self):
        with pytest.raises(UnknownReleaseError) as raised:
            chosen("acme>3", "1.10", "1.9", "2.0!")

        assert raised.value.available == ("1.9", "1.10", "2.0 (yanked)")
        assert raised.value.hint == "releases there are: 1.9, 1.10, 2.0 (yanked)"

    @pytest.mark.parametrize("reference", ["acme===1.0", "acme==not.a.version", "acme>=1.*"])
    def test_what_is_no_specifier_is_refused(self, reference: str):
        with pytest.raises(ReferenceSyntaxError):
            chosen(reference, "1.0")

    @given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1))
    def test_the_order_of_the_candidates_does_not_matter(self, numbers: list[tuple[int, int]]):
        versions = [f"{major}.{minor}" for major, minor in numbers]

        assert Version(chosen("acme", *versions)) == max(map(Version, versions))


class TestChoosingAWorkflow:
    def test_the_only_one_need_not_be_named(self):
        assert choose_workflow(Reference.parse("acme"), release()) == "nightly"

    def test_of_several_one_must_be_named(self):
        with pytest.raises(AmbiguousReferenceError) as raised:
            choose_workflow(Reference.parse("acme"), release("1.0", "hourly", "nightly"))

        assert raised.value.choices == ("acme/hourly", "acme/nightly")

    def test_one_that_is_not_there_is_told_with_the_nearest(self):
        with pytest.raises(UnknownWorkflowError) as raised:
            choose_workflow(Reference.parse("acme/nigtly"), release())

        assert raised.value.hint == "did you mean nightly?"


class TestSources:
    def test_the_source_that_has_the_package_is_asked(self):
        here = Source("b", release("1.0"))

        found = resolve(Reference.parse("acme"), [Source("a"), here])

        assert found.source is here
        assert (found.release.version, found.workflow) == ("1.0", "nightly")

    def test_a_package_in_two_sources_is_ambiguous(self):
        sources = [Source("a", release("1.0")), Source("b", release("2.0"))]

        with pytest.raises(AmbiguousReferenceError) as raised:
            resolve(Reference.parse("acme"), sources)

        assert raised.value.hint == "the package is in a and in b; choose with --source"

    def test_an_unknown_package_is_told_with_the_nearest(self):
        with pytest.raises(UnknownPackageError) as raised:
            resolve(Reference.parse("acne"), [Source("a", release())])

        assert raised.value.hint == "did you mean acme?"
