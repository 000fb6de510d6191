"""Whose a package's name is: who uploads it first owns it, as far as nothing else was decided.

The rules, asked at each upload, in this order:

1. A name that is reserved is for those who are granted it by name, or by a
   pattern no wider than the reserved one.                                      name-reserved
2. A new name must not be mistaken for that of another package: `acme-etl`,
   `acmeetl` and `acme-et1` look alike. An exact grant of the name allows it.   name-similar
3. Where a grant is narrower than `*`, it decides who may publish: trust does
   that already, and no owner is asked.
4. Otherwise the keys that signed the first release own the name, and one of
   them must have signed each further one. The bytes of a release that is there
   may be signed anew by anyone whom trust allows: they don't change. Nobody
   owns what was taken unsigned: the first who signs does.                      not-owner

An operator may give a name to other keys; that is told in the log.
"""

from collections.abc import Iterator

from cloacina_core.errors import Problem
from cloacina_registry.errors import NameNotAllowedError
from cloacina_registry.storage.catalog import Catalog
from cloacina_registry.trust.patterns import EVERY_PACKAGE, matches, specificity
from cloacina_registry.trust.policy import Grant, TrustPolicy
from cloacina_registry.trust.verification import VerifiedRelease

_LOOK_ALIKES = str.maketrans({"-": None, "i": "1", "l": "1", "o": "0"})


def claim_name(catalog: Catalog, verified: VerifiedRelease, policy: TrustPolicy) -> None:
    """Claim the name of a package for those who signed a release of it, or see that they own it.

    Args:
        catalog: seen through the transaction that publishes the wheel.
        verified: the release, with those whose signatures count.
        policy: whom we trust.

    Raises:
        NameNotAllowedError: the name isn't theirs.
    """
    package = verified.subject.package
    if not catalog.is_claimed(package):
        catalog.keep_claims_out()  # of two names that look alike, one is the first
    grant = policy.grant_for(package)
    problems = [
        *_reserved_problems(package, grant, policy),
        *_similar_problems(catalog, package, grant),
        *_owner_problems(catalog, verified, grant),
    ]
    if problems:
        raise NameNotAllowedError(package, problems)
    signers = [signer.key_id for signer in verified.signers]
    catalog.claim(package, folded(package), signers)


def folded(package: str) -> str:
    """Return what all names have in common that look like one."""
    return package.translate(_LOOK_ALIKES)


def _reserved_problems(package: str, grant: Grant | None, policy: TrustPolicy) -> Iterator[Problem]:
    covering = [pattern for pattern in policy.reserved if matches(pattern, package)]
    if not covering:
        return
    narrowest = max(covering, key=specificity)
    if grant is None or specificity(grant.pattern) < specificity(narrowest):
        message = f"it is reserved by {narrowest!r} for those who are granted that"
        yield Problem("name-reserved", message, package)


def _similar_problems(catalog: Catalog, package: str, grant: Grant | None) -> Iterator[Problem]:
    if grant is not None and grant.pattern == package:
        return
    if catalog.is_claimed(package):
        return
    for other in catalog.claimed_as(folded(package)):
        if other != package:
            yield Problem("name-similar", f"it looks like the package {other!r}", package)


def _owner_problems(
    catalog: Catalog, verified: VerifiedRelease, grant: Grant | None
) -> Iterator[Problem]:
    if grant is not None and grant.pattern != EVERY_PACKAGE:
        return
    subject = verified.subject
    published = catalog.get(subject.package, subject.version)
    if published is not None and published.digest == subject.digest:
        return
    owners = catalog.owners(subject.package)
    if owners and not owners & {signer.key_id for signer in verified.signers}:
        signed_by = ", ".join(signer.name for signer in verified.signers) or "nobody"
        message = f"it belongs to other keys; this release was signed by {signed_by}"
        yield Problem("not-owner", message, subject.package)
