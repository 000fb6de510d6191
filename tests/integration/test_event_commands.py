"""`cloacina event enable | disable | update | restore`: what they print, and what they end with."""

import json
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.testing import CliRunner, Result
from support.registry import open_home, signed_wheel

from cloacina_core.cli import main
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.sending.declared import DeclaredSubscription
from cloacina_registry.registry import Registry

Cli: TypeAlias = Callable[..., Result]

WHEEL = signed_wheel(
    subscriptions=(
        DeclaredSubscription.checked("made", "nightly", event="orders.made"),
        DeclaredSubscription.checked(
            "paid", "nightly", event="orders.paid", where={"cents": {">": 0}}, priority=3
        ),
    )
)
PACKAGE = "acme-etl==1.0"
MADE, PAID = "acme-etl.made", "acme-etl.paid"


@pytest.fixture
def cli(tmp_path: Path, store_url: str) -> Cli:
    """Return what calls `cloacina event`, in a home whose registry has the package."""
    home = tmp_path / "home"
    in_database = not store_url.startswith("sqlite")  # where wheels are kept unless they are told
    opened = contextmanager(open_home)(home, SystemClock(), url=store_url, in_database=in_database)
    with opened as view:
        WHEEL.upload_to(Registry.of(view))
    environment = {"CLOACINA_HOME": str(home), "CLOACINA_DATABASE_URL": store_url}

    def call(*words: str) -> Result:
        return CliRunner().invoke(main, ["event", *words], env=environment)

    return call


def printed(done: Result) -> Any:
    """Return the JSON document of a command that was done."""
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def refused(done: Result) -> tuple[int, str]:
    """Return with which status and code a command was refused, which printed no result."""
    assert done.stdout == ""
    return done.exit_code, json.loads(done.stderr)["error"]["code"]


def kept(cli: Cli) -> dict[str, Any]:
    return {one["name"]: one for one in printed(cli("subscriptions", "--json"))}


def test_all_that_a_package_declares_is_switched_on_once(cli: Cli) -> None:
    first = cli("enable", PACKAGE, "--json")
    again = cli("enable", PACKAGE, "--json")

    assert [(one["name"], one["new"]) for one in printed(first)] == [(MADE, True), (PAID, True)]
    assert [(one["name"], one["new"]) for one in printed(again)] == [(MADE, False), (PAID, False)]
    paid = kept(cli)[PAID]
    assert (paid["event"], paid["where"], paid["priority"]) == (
        "orders.paid",
        {"cents": {">": 0}},
        3,
    )
    assert paid["declared_by"]["reference"] == PACKAGE
    assert f"subscription {MADE!r} is enabled" in first.stderr
    assert f"subscription {MADE!r} is there already" in again.stderr


def test_one_is_switched_on_by_its_name_and_kept_by_another(cli: Cli) -> None:
    done = cli("enable", PACKAGE, "paid", "--as", "receipts", "--paused")

    assert done.exit_code == 0
    assert done.stdout.split()[:2] == ["name", "receipts"]
    assert done.stderr == "subscription 'receipts' is enabled\n"
    assert list(kept(cli)) == ["receipts"]
    assert kept(cli)["receipts"]["paused"] is True


def test_people_are_told_quietly_when_they_ask_for_that(cli: Cli) -> None:
    done = cli("enable", PACKAGE, "paid", "--quiet")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.split()[:2] == ["name", PAID]


def test_what_cant_be_switched_on_is_refused(cli: Cli) -> None:
    wrong: Sequence[tuple[list[str], int, str]] = (
        (["acme-etl/nightly==1.0"], 2, "bad-input"),
        (["acme etl"], 2, "bad-reference"),
        ([PACKAGE, "--as", "receipts"], 2, "bad-input"),
        ([PACKAGE, "paid", "--as", "two words"], 2, "bad-input"),
        (["nobodys==1.0"], 3, "unknown-package"),
        (["acme-etl==9.0"], 3, "unknown-release"),
        (["acme-etl@stable"], 3, "unknown-channel"),
        ([PACKAGE, "sent"], 3, "unknown-declaration"),
    )

    for words, *expected in wrong:
        assert refused(cli("enable", *words, "--json")) == tuple(expected), words
    assert kept(cli) == {}


def test_a_name_that_something_else_has_is_left_to_it(cli: Cli) -> None:
    cli("subscribe", PAID, "acme-etl/nightly", "--event", "anything")

    done = cli("enable", PACKAGE, "--json")

    assert refused(done) == (5, "subscription-exists")
    assert [(name, one["event"]) for name, one in kept(cli).items()] == [(PAID, "anything")]


def test_what_was_switched_on_is_switched_off_by_name_and_all_together(cli: Cli) -> None:
    cli("enable", PACKAGE)

    one = cli("disable", PACKAGE, "paid", "--json")
    assert printed(one) == [{"name": PAID}]
    assert one.stderr == f"subscription {PAID!r} is disabled\n"
    assert list(kept(cli)) == [MADE]
    cli("enable", PACKAGE)
    assert printed(cli("disable", PACKAGE, "--json")) == [{"name": MADE}, {"name": PAID}]
    assert kept(cli) == {}


def test_what_wasnt_switched_on_so_isnt_switched_off(cli: Cli) -> None:
    cli("enable", PACKAGE)
    wrong: Sequence[tuple[list[str], int, str]] = (
        ([PACKAGE, "sent"], 3, "not-enabled"),
        (["acme-etl==2.0"], 3, "not-enabled"),
        (["acme-etl@stable"], 3, "not-enabled"),
        (["acme-etl/nightly==1.0"], 2, "bad-input"),
    )

    for words, *expected in wrong:
        assert refused(cli("disable", *words, "--json")) == tuple(expected), words
    assert list(kept(cli)) == [MADE, PAID]


def test_what_is_changed_is_known_and_given_back(cli: Cli) -> None:
    cli("enable", PACKAGE)

    changed = cli(
        *("update", PAID, "--event", "orders.returned", "--where", "cents>=100"),
        *("--param", "day=$.day", "--priority", "9", "--json"),
    )
    assert changed.stderr == f"subscription {PAID!r} is changed\n"
    state = printed(changed)
    assert (state["event"], state["where"]) == ("orders.returned", {"cents": {">=": 100}})
    assert (state["params"], state["priority"]) == ({"day": "$.day"}, 9)
    assert set(state["declared_by"]["overridden"]) == {"event", "where", "params", "priority"}

    restored = cli("restore", PAID, "--json")
    assert restored.stderr == f"subscription {PAID!r} is as it is declared\n"
    state = printed(restored)
    assert (state["event"], state["where"]) == ("orders.paid", {"cents": {">": 0}})
    assert (state["params"], state["priority"]) == (None, 3)
    assert state["declared_by"]["overridden"] == {}
    assert kept(cli)[PAID] == state


def test_an_empty_condition_takes_the_condition_away(cli: Cli) -> None:
    cli("enable", PACKAGE, "paid")

    assert printed(cli("update", PAID, "--where", "", "--json"))["where"] == {}


def test_what_cant_be_changed_stays(cli: Cli) -> None:
    cli("enable", PACKAGE, "paid")
    cli("subscribe", "ours", "acme-etl/nightly", "--event", "anything")
    before = kept(cli)
    wrong: Sequence[tuple[list[str], int, str]] = (
        (["update", "nobodys", "--priority", "1"], 3, "unknown-subscription"),
        (["update", PAID, "--where", "{"], 2, "bad-input"),
        (["update", PAID, "--param", "day"], 2, "bad-input"),
        (["update", PAID, "--event", "two words"], 2, "bad-input"),
        (["update", PAID, "--reference", "acme-etl/nightly==1.0"], 2, "bad-input"),
        (["update", "ours", "--reference", "nobodys/nightly"], 3, "unknown-package"),
        (["update", "ours", "--reference", "acme-etl/daily"], 3, "unknown-workflow"),
        (["restore", "nobodys"], 3, "unknown-subscription"),
        (["restore", "ours"], 2, "bad-input"),
    )

    for words, *expected in wrong:
        assert refused(cli(*words, "--json")) == tuple(expected), words
    for words in (["update", PAID, "--priority", "high"], ["enable"], ["restore"]):
        assert cli(*words).exit_code == 2
    assert kept(cli) == before
