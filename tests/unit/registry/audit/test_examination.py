"""Whatever is done to a stored log is found, and named. On both databases."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text
from support.audit import fill_log, forge_body, log_store, rewrite, rewrite_history

from cloacina_core.store.database import Database
from cloacina_registry.audit.examination import PAGE_LENGTH, Examined, Witness, examine
from cloacina_registry.audit.log import AuditLog
from cloacina_registry.audit.merkle import TreeHead

SIZE = 11


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    with log_store(store_url) as database:
        fill_log(database, SIZE)
        yield database


def ignore(_done: int, _all: int) -> None:
    pass


def head_of(database: Database) -> TreeHead:
    with database.read() as connection:
        return AuditLog(connection).head()


def examined(database: Database, *witnesses: TreeHead) -> Examined:
    with database.read() as connection:
        named = [Witness("the checkpoint", head) for head in witnesses]
        return examine(AuditLog(connection), named, ignore)


def messages(found: Examined) -> str:
    return "\n".join(str(finding.to_problem()) for finding in found.findings)


def tamper(database: Database, *statements: str) -> None:
    with database.begin() as connection:
        for statement in statements:
            rewrite(connection, statement)


def test_an_honest_log_is_found_to_be_right_at_every_size(database: Database):
    heads = [TreeHead(0, head_of(database).root)]  # not of an empty log: it is left out below
    for _ in range(10):
        heads.append(head_of(database))
        fill_log(database, 1)

    found = examined(database, *heads[1:])

    assert found.findings == ()
    assert found.first_wrong is None
    assert found.head == head_of(database)
    assert examined(database, heads[0]).findings


def test_a_changed_body_is_named(database: Database):
    with database.begin() as connection:
        forge_body(connection, 4, '"1.4"', '"6.6"', hashed=False)

    found = examined(database)

    assert found.first_wrong == 4
    assert "entry 4: its body isn't what its hash was made of" in messages(found)
    assert len(found.findings) == 1


@pytest.mark.parametrize("index", [0, 4, 9])
def test_a_changed_body_with_its_hash_is_found_by_the_nodes(database: Database, index: int):
    with database.begin() as connection:
        forge_body(connection, index, f'"1.{index}"', '"6.6"', hashed=True)

    found = examined(database)

    first = index // 2 * 2
    assert found.first_wrong == first
    assert f"the node above entries {first} to {first + 1}" in messages(found)


def test_the_last_entry_changed_with_its_hash_is_found_by_the_head(database: Database):
    with database.begin() as connection:
        forge_body(connection, 10, '"1.10"', '"6.6"', hashed=True)

    found = examined(database)

    assert found.first_wrong == 10
    assert "the head isn't that of the entries" in messages(found)


def test_a_changed_hash_is_named(database: Database):
    with database.begin() as connection:
        rewrite(
            connection,
            "update registry_log set leaf = :leaf where leaf_index = 6",
            leaf=bytes(32),
        )

    assert examined(database).first_wrong == 6


@pytest.mark.parametrize("leaf", [b"", bytes(31), bytes(33)])
def test_a_hash_of_another_length_is_named(database: Database, leaf: bytes):
    with database.begin() as connection:
        rewrite(connection, "update registry_log set leaf = :leaf where leaf_index = 6", leaf=leaf)

    assert examined(database).first_wrong == 6


def test_swapped_entries_are_named(database: Database):
    tamper(
        database,
        "update registry_log set leaf_index = 100 where leaf_index = 2",
        "update registry_log set leaf_index = 2 where leaf_index = 7",
        "update registry_log set leaf_index = 7 where leaf_index = 100",
    )

    found = examined(database)

    assert found.first_wrong == 2
    assert "entry 2: it is entry 7, in the wrong place" in messages(found)
    assert "entry 7: it is entry 2, in the wrong place" in messages(found)


@pytest.mark.parametrize("index", [0, 5, 9])
def test_a_removed_entry_is_named(database: Database, index: int):
    tamper(database, f"delete from registry_log where leaf_index = {index}")

    found = examined(database)

    assert found.first_wrong == index
    assert f"there is no entry {index}" in messages(found)


def test_an_entry_far_behind_a_hole_is_found_in_no_time(database: Database):
    tamper(database, f"update registry_log set leaf_index = {2**60} where leaf_index = 9")

    assert examined(database).first_wrong == 9


@pytest.mark.parametrize("index", [-1, 10**6])
def test_an_entry_that_was_put_in_is_found(database: Database, index: int):
    tamper(
        database,
        "insert into registry_log (leaf_index, kind, package, body, leaf) "
        f"select {index}, kind, package, body, leaf from registry_log where leaf_index = 0",
    )

    assert examined(database).findings


def test_an_entry_that_is_filed_elsewhere_is_named(database: Database):
    tamper(database, "update registry_log set kind = 'import' where leaf_index = 3")
    tamper(database, "update registry_log set package = null where leaf_index = 8")

    found = examined(database)

    assert [finding.index for finding in found.findings] == [3, 8]


@pytest.mark.parametrize(
    "statement",
    [
        "delete from registry_log_nodes where level = 2 and position = 1",
        "update registry_log_nodes set position = 77 where level = 1 and position = 2",
    ],
)
def test_a_node_that_is_missing_is_named(database: Database, statement: str):
    tamper(database, statement)

    found = examined(database)

    assert found.first_wrong == 4
    assert "is missing" in messages(found)


def test_a_changed_node_is_named(database: Database):
    with database.begin() as connection:
        rewrite(
            connection,
            "update registry_log_nodes set hash = :hash where level = 3 and position = 0",
            hash=bytes(32),
        )

    found = examined(database)

    assert found.first_wrong == 0
    assert "the node above entries 0 to 7 isn't what they make it" in messages(found)


def test_a_node_too_many_is_found(database: Database):
    tamper(
        database,
        "insert into registry_log_nodes (level, position, hash) "
        "select level, 99, hash from registry_log_nodes where level = 3",
    )

    assert "nodes in the tree that are above no entries" in messages(examined(database))


def test_entries_cut_off_without_the_head_are_found(database: Database):
    tamper(database, "delete from registry_log where leaf_index >= 9")

    found = examined(database)

    assert found.first_wrong == 9
    assert "the head tells of 11 entries, and 9 are there" in messages(found)


def test_a_head_that_was_removed_is_found(database: Database):
    tamper(database, "delete from registry_log_head")

    assert "the head tells of 0 entries, and 11 are there" in messages(examined(database))


def test_a_head_that_can_be_none_is_found(database: Database):
    tamper(database, "update registry_log_head set size = 12")

    assert "the head of the log was changed" in messages(examined(database))


def cut_off(database: Database, size: int) -> None:
    """Cut the last entries off, and make the tree fit."""
    with database.begin() as connection:
        kept = AuditLog(connection).entries(limit=size)
        for table in ("registry_log", "registry_log_nodes", "registry_log_head"):
            connection.execute(text(f"delete from {table}"))
        log = AuditLog(connection)
        for entry in kept:
            log.append(entry.kind, entry.facts, at=entry.at, actor=entry.actor)


def test_a_log_cut_off_with_care_is_found_by_who_remembers_it(database: Database):
    before = head_of(database)
    cut_off(database, 8)

    assert examined(database).findings == ()  # that is what checkpoints are for
    found = examined(database, before)

    assert "the checkpoint knows of 11 entries, and 8 are there" in messages(found)
    assert found.first_wrong == 8


def test_a_log_cut_off_that_grew_again_is_found_by_who_remembers_it(database: Database):
    before = head_of(database)
    cut_off(database, 8)
    with database.begin() as connection:
        rewrite_history(connection, "tester@here", "somebody@else")
    fill_log(database, 9)

    assert examined(database).findings == ()
    assert "among the first 11 entries some aren't those" in messages(examined(database, before))


@pytest.mark.parametrize("remembered", [SIZE, SIZE + 3])
def test_a_log_rewritten_with_a_valid_tree_is_found_by_who_remembers_it(
    database: Database, remembered: int
):
    fill_log(database, remembered - SIZE)
    before = head_of(database)
    fill_log(database, 2)
    with database.begin() as connection:
        rewrite_history(connection, '"1.4"', '"6.6"')

    assert examined(database).findings == ()
    found = examined(database, before)

    told = f"among the first {remembered} entries some aren't those that the checkpoint knows"
    assert told in messages(found)


def test_progress_is_told_page_by_page(tmp_path_factory: pytest.TempPathFactory):
    told: list[tuple[int, int]] = []
    url = f"sqlite:///{tmp_path_factory.mktemp('long') / 'store.db'}"
    with log_store(url) as database:
        fill_log(database, PAGE_LENGTH + 5)

        with database.read() as connection:
            found = examine(AuditLog(connection), [], lambda *done: told.append(done))

    assert found.findings == ()
    assert told == [(PAGE_LENGTH, PAGE_LENGTH + 5), (PAGE_LENGTH + 5, PAGE_LENGTH + 5)]
