"""Which release a reference means, by the rules of PEP 440."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from cloacina_core.errors import (
    AmbiguousReferenceError,
    ReferenceSyntaxError,
    UnknownChannelError,
    UnknownPackageError,
    UnknownReleaseError,
    UnknownWorkflowError,
)
from cloacina_core.foundation.digest import digest_of_text
from cloacina_core.model.channel import Canary, Channel
from cloacina_core.model.release import Reference, Release, Resolution, ResolvedBy
from cloacina_core.plugin.releases import Releases, is_pin
from cloacina_core.plugin.resolution import choose_release, choose_workflow, resolve


def release(
    version: str = "1.0",
    *workflows: str,
    package: str = "acme",
    yanked: bool = False,
    withheld: str | None = None,
) -> Release:
    return Release(
        source="s",
        package=package,
        version=version,
        digest=digest_of_text(version),
        workflows=workflows or ("nightly",),
        yanked=yanked,
        withheld=withheld,
    )


def chosen(reference: str, *versions: str) -> str:
    """Return the version that is chosen; those with an exclamation mark are yanked."""
    candidates = [release(text.rstrip("!"), yanked=text.endswith("!")) for text in versions]
    return choose_release(Reference.parse(reference), candidates).version


class Source:
    """A source of releases that are handed in."""

    def __init__(self, name: str, *releases: Release, channels: Sequence[Channel] = ()) -> None:
        self.name = name
        self._releases = releases
        self._channels = channels

    def packages(self) -> list[str]:
        return sorted({release.package for release in self._releases})

    def releases(self, package: str) -> list[Release]:
        return [release for release in self._releases if release.package == package]

    def channels(self, package: str) -> list[Channel]:
        return [channel for channel in self._channels if channel.package == package]

    def find(self, package: str, digest: str) -> Release | None:
        return next((one for one in self.releases(package) if one.digest == digest), None)


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

    def test_a_withheld_release_only_by_an_exact_pin(self):
        candidates = [release("1.0"), release("2.0", withheld="quarantined: wrong totals")]

        assert choose_release(Reference.parse("acme"), candidates).version == "1.0"
        assert choose_release(Reference.parse("acme==2.0"), candidates).version == "2.0"
        with pytest.raises(UnknownReleaseError) as raised:
            choose_release(Reference.parse("acme>1"), candidates)
        assert raised.value.available == ("1.0", "2.0 (quarantined: wrong totals)")

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

        found = resolve(Reference.parse("acme"), [Source("a"), here]).usual

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


def channel(usual: Release, canary: Release | None = None, share: int = 0) -> Channel:
    return Channel(
        package="acme",
        name="stable",
        revision=7,
        version=usual.version,
        digest=usual.digest,
        canary=None
        if canary is None
        else Canary(version=canary.version, digest=canary.digest, share=share),
    )


class TestChannels:
    def test_a_channel_means_the_release_it_points_to(self):
        old, new = release("1.0"), release("2.0")
        source = Source("s", old, new, channels=[channel(old)])

        found = resolve(Reference.parse("acme@stable"), [source]).for_run("r1")

        assert (found.release, found.workflow) == (old, "nightly")
        assert found.resolution == Resolution(ResolvedBy.CHANNEL, "stable", 7)

    def test_a_share_of_the_runs_gets_the_canary(self):
        old, new = release("1.0"), release("2.0")
        source = Source("s", old, new, channels=[channel(old, new, share=2_500)])

        meaning = resolve(Reference.parse("acme/nightly@stable"), [source])
        found = [meaning.for_run(f"run{number}") for number in range(2_000)]

        canaries = [one for one in found if one.release == new]
        assert 400 < len(canaries) < 600
        assert {one.resolution.by for one in canaries} == {ResolvedBy.CANARY}
        assert meaning.usual.release == old

    @pytest.mark.parametrize(
        "canary",
        [
            release("2.0", withheld="quarantined"),
            release("2.0", "hourly"),
            release("2.0", "hourly", "weekly"),
            None,
        ],
        ids=["withheld", "without the workflow", "with several others", "gone"],
    )
    def test_a_canary_that_cannot_serve_takes_no_run_along(self, canary: Release | None):
        old = release("1.0")
        there = [old] if canary is None else [old, canary]
        pointing = channel(old, canary or release("2.0"), share=9_999)

        meaning = resolve(
            Reference.parse("acme@stable"), [Source("s", *there, channels=[pointing])]
        )

        assert {meaning.for_run(str(number)).release.version for number in range(50)} == {"1.0"}

    def test_an_unknown_channel_is_told_with_those_there_are(self):
        here = release("1.0")
        source = Source("s", here, channels=[channel(here)])

        with pytest.raises(UnknownChannelError) as raised:
            resolve(Reference.parse("acme@stabel"), [source])

        assert raised.value.hint == "channels there are: stable"

    def test_a_channel_whose_release_is_gone_is_told_so(self):
        here, gone = release("1.0"), release("0.9")
        source = Source("s", here, channels=[channel(gone)])

        with pytest.raises(UnknownReleaseError, match=r"==0\.9"):
            resolve(Reference.parse("acme@stable"), [source])

    @given(st.text(max_size=30), st.integers(1, 9_999))
    def test_who_gets_a_canary_gets_it_at_every_larger_share(self, key: str, share: int):
        canary = Canary(version="2.0", digest=digest_of_text("2.0"), share=share)
        larger = Canary(version="2.0", digest=digest_of_text("2.0"), share=share + 1)

        assert not canary.takes(key) or larger.takes(key)


NUMBERS = st.integers(0, 3)
VERSIONS = st.builds(
    "{}.{}.{}{}".format,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from(["", "", "", "a1", "rc2", ".post1", ".dev3"]),
)
CLAUSES = st.builds("{}{}".format, st.sampled_from(["==", "!=", "<=", ">=", "<", ">"]), VERSIONS)
PREFIXES = st.builds(
    "{}{}.{}{}".format, st.sampled_from(["==", "!="]), NUMBERS, NUMBERS, st.just(".*")
)
COMPATIBLE = st.builds("~={}.{}.{}".format, NUMBERS, NUMBERS, NUMBERS)


class TestReleases:
    @given(
        st.lists(VERSIONS, unique=True, max_size=30),
        st.lists(CLAUSES | PREFIXES | COMPATIBLE, max_size=3).map(",".join),
        st.sets(st.integers(0, 29)),
    )
    def test_bisection_finds_what_looking_at_all_would(
        self, versions: list[str], text: str, yanked: set[int]
    ):
        specifier = SpecifierSet(text)
        candidates = [
            release(version, yanked=number in yanked) for number, version in enumerate(versions)
        ]
        fitting = [
            one
            for one in candidates
            if specifier.contains(
                one.version, prereleases=bool(specifier.prereleases) or is_pin(specifier)
            )
            and (not one.yanked or is_pin(specifier))
        ]
        best = max(fitting, key=lambda one: Version(one.version), default=None)

        assert Releases.of(candidates).choose(specifier) == best

    def test_changes_replace_add_and_remove(self):
        before = Releases.of([release("1.0"), release("2.0"), release("3.0")])

        after = before.changed([release("2.0", yanked=True), release("10.0")], ["3.0"])

        assert [(one.version, one.yanked) for one in after] == [
            ("1.0", False),
            ("2.0", True),
            ("10.0", False),
        ]
        assert len(before) == 3
        assert after[-1] == after[2:][0] == release("10.0")

    def test_a_local_version_is_found_by_its_public_one(self):
        releases = Releases.of([release("1.0+built.here"), release("2.0")])

        assert releases.choose(SpecifierSet("==1.0")) == release("1.0+built.here")
