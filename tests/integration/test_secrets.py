"""Secrets in a store, on both databases: set, opened, tampered with, and sealed with new keys."""

import base64
import itertools
import json
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Table, delete, insert, select, text, update
from support.runs import PATIENCE

from cloacina_core.cli import main
from cloacina_core.errors import (
    ConfigurationError,
    SecretHasFieldsError,
    SecretKeyRefusedError,
    SecretMissingError,
    SecretUnavailableError,
)
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.model.secret import SecretValue
from cloacina_core.services.secrets.key_files import KeyFile, KeyVariable
from cloacina_core.services.secrets.vault import Vault
from cloacina_core.store import schema
from cloacina_core.store import secrets as stored
from cloacina_core.store.database import Database
from cloacina_core.store.secrets import SecretStore

VALUE, OTHER = "correct horse battery staple", "another value altogether"
BY = "ann@host"
plain = SecretValue.checked
SECRETS, KEYS, INVENTORY = schema.secrets, schema.secret_keys, schema.secret_inventory

ROTATE_UNTIL_KILLED = """
import os, secrets, signal, sys
from pathlib import Path
from cloacina_core.foundation.clock import SystemClock
from cloacina_core.services.secrets.key_files import KeyFile
from cloacina_core.services.secrets.vault import Vault
from cloacina_core.store.database import Database
from cloacina_core.store.secrets import SecretStore
from cloacina_core.store import secrets as stored

url, path, step, times = sys.argv[1:]
stored.BATCH = 2
left = int(times)

def dying(function):
    def call(*args, **options):
        global left
        result = function(*args, **options)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return call

where = KeyFile if step in ("add", "drop") else SecretStore
setattr(where, step, dying(getattr(where, step)))
Vault(SecretStore(Database(url, SystemClock())), KeyFile(Path(path)), secrets.token_bytes).rotate()
"""


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    database = Database(store_url, SystemClock())
    yield database
    database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secret.keys"


@pytest.fixture
def open_vault(database: Database, path: Path) -> Callable[[], Vault]:
    """Return what opens the store's secrets as one more process would."""
    return lambda: Vault(SecretStore(database), KeyFile(path), secrets.token_bytes)


@pytest.fixture
def vault(open_vault: Callable[[], Vault]) -> Vault:
    return open_vault()


def change(database: Database, of: str, **values: Any) -> None:
    with database.begin() as connection:
        connection.execute(update(SECRETS).where(SECRETS.c.name == of).values(**values))


def row(database: Database, name: str) -> dict[str, Any]:
    with database.read() as connection:
        found = connection.execute(select(SECRETS).where(SECRETS.c.name == name)).one()
    return dict(found._mapping)


def key_ids(database: Database) -> set[str]:
    """Return the ids of all keys that something is sealed with."""
    query = select(SECRETS.c.key_id).union(select(INVENTORY.c.key_id))
    with database.read() as connection:
        return set(connection.execute(query).scalars())


def saved(database: Database, *tables: Table) -> list[tuple[Table, list[dict[str, Any]]]]:
    """Return what is in tables, as whoever may read them can keep it."""
    with database.read() as connection:
        rows = {table: connection.execute(select(table)).mappings().all() for table in tables}
    return [(table, [dict(one) for one in found]) for table, found in rows.items()]


def put_back(database: Database, tables: list[tuple[Table, list[dict[str, Any]]]]) -> None:
    """Make tables what they were, as whoever may write them can do."""
    with database.begin() as connection:
        for table, rows in tables:
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)


def is_refused(vault: Vault, name: str) -> bool:
    try:
        vault.read(name)
    except SecretUnavailableError as error:
        return "what is stored was changed" in error.message
    return False


def test_what_is_set_is_read(vault: Vault, open_vault: Callable[[], Vault]):
    info, has_changed = vault.set("crm", plain(VALUE), BY)

    assert has_changed
    assert (info.name, info.revision, info.set_by) == ("crm", 1, BY)
    assert open_vault().read("crm") == plain(VALUE)


def test_another_value_is_another_revision(vault: Vault):
    vault.set("crm", plain(VALUE), BY)

    info, has_changed = vault.set("crm", plain(OTHER), "bob@host")

    assert has_changed
    assert (info.revision, info.set_by) == (2, "bob@host")
    assert vault.read("crm") == plain(OTHER)


def test_fields_are_kept_together(vault: Vault, open_vault: Callable[[], Vault]):
    value = SecretValue.checked({"user": "ann", "password": VALUE}, public=["user"])

    info, _ = vault.set("crm", value, BY)

    assert info.fields == ("password", "user")
    assert open_vault().read("crm") == value
    assert vault.set("crm", value, BY)[1] is False
    vault.rotate()
    assert open_vault().read("crm") == value
    assert vault.set("crm", plain(VALUE), BY, replace_fields=True)[0].fields == ()


@pytest.mark.parametrize("fields", ["", "password", "host,password,user"])
def test_fields_that_were_changed_in_the_table_open_nothing(
    vault: Vault, database: Database, fields: str
):
    vault.set("crm", SecretValue.checked({"user": OTHER, "password": VALUE}), BY)
    change(database, "crm", fields=fields)

    assert is_refused(vault, "crm")


def test_the_same_value_again_changes_nothing(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    before = row(database, "crm")

    info, has_changed = vault.set("crm", plain(VALUE), "bob@host")

    assert not has_changed
    assert info.set_by == BY
    assert row(database, "crm") == before


def test_a_secret_that_was_deleted_is_gone(vault: Vault):
    vault.set("crm", plain(VALUE), BY)

    vault.delete("crm")

    assert list(vault.all()) == []
    for call in (vault.read, vault.get, vault.delete):
        with pytest.raises(SecretMissingError, match="there is no secret 'crm'"):
            call("crm")


def test_a_slip_in_a_name_is_pointed_out(vault: Vault):
    vault.set("crm-password", plain(VALUE), BY)

    with pytest.raises(SecretMissingError) as caught:
        vault.read("crm-pasword")
    assert str(caught.value.hint).startswith("did you mean crm-password?")


@pytest.mark.parametrize("part", ["nonce", "ciphertext", "revision"])
def test_what_was_changed_in_the_table_is_not_opened(vault: Vault, database: Database, part: str):
    vault.set("crm", plain(VALUE), BY)
    was = row(database, "crm")[part]
    change(database, "crm", **{part: was + 1 if part == "revision" else was[:-1] + b"\0"})

    with pytest.raises(SecretUnavailableError, match="what is stored was changed"):
        vault.read("crm")


def test_rows_that_were_swapped_are_not_opened(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    vault.set("db", plain(OTHER), BY)
    one, other = row(database, "crm"), row(database, "db")
    sealed = ("nonce", "ciphertext")
    change(database, "crm", **{part: other[part] for part in sealed})
    change(database, "db", **{part: one[part] for part in sealed})

    for name in ("crm", "db"):
        with pytest.raises(SecretUnavailableError, match="what is stored was changed"):
            vault.read(name)


def test_a_row_that_was_renamed_is_not_opened(vault: Vault, database: Database):
    vault.set("harmless", plain(VALUE), BY)
    change(database, "harmless", name="crm")

    with pytest.raises(SecretUnavailableError, match="what is stored was changed"):
        vault.read("crm")


def test_an_earlier_value_put_back_is_not_opened(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    before = row(database, "crm")
    vault.set("crm", plain(OTHER), BY)
    change(database, "crm", nonce=before["nonce"], ciphertext=before["ciphertext"])

    with pytest.raises(SecretUnavailableError, match="what is stored was changed"):
        vault.read("crm")


def test_a_whole_row_of_an_earlier_value_put_back_is_not_opened(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    before = saved(database, SECRETS)
    vault.set("crm", plain(OTHER), BY)

    put_back(database, before)

    assert is_refused(vault, "crm")


def test_a_row_that_was_deleted_and_put_back_is_not_opened(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    before = saved(database, SECRETS)
    vault.delete("crm")

    put_back(database, before)

    assert is_refused(vault, "crm")


def test_a_revision_is_never_given_again(vault: Vault, database: Database):
    given = [vault.set("crm", plain(VALUE), BY)[0].revision]
    for value in (VALUE, OTHER, VALUE):
        before = saved(database, SECRETS)
        vault.delete("crm")
        given.append(vault.set("crm", plain(value), BY)[0].revision)
        put_back(database, before)
        assert is_refused(vault, "crm")
        vault.set("crm", plain(f"{value}, again"), BY)

    assert given == sorted(set(given))


def test_an_inventory_put_back_opens_nothing_that_changed_since(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    vault.set("db", plain(OTHER), BY)
    before = saved(database, INVENTORY)
    vault.set("crm", plain(OTHER), BY)

    put_back(database, before)

    assert is_refused(vault, "crm")
    assert vault.read("db") == plain(OTHER)


def test_without_the_inventory_nothing_is_opened_or_set(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    put_back(database, [(INVENTORY, [])])

    assert is_refused(vault, "crm")
    with pytest.raises(
        SecretUnavailableError, match="inventory of 1 secrets can't be opened"
    ) as no:
        vault.set("db", plain(OTHER), BY)
    assert "delete all secrets, and set them anew" in str(no.value.hint)


@pytest.mark.parametrize("part", ["nonce", "ciphertext"])
def test_an_inventory_that_was_changed_opens_nothing(vault: Vault, database: Database, part: str):
    vault.set("crm", plain(VALUE), BY)
    ((_, (row,)),) = saved(database, INVENTORY)
    put_back(database, [(INVENTORY, [{**row, part: row[part][:-1] + bytes([row[part][-1] ^ 1])}])])

    assert is_refused(vault, "crm")


def test_a_new_inventory_takes_no_row_of_the_one_before(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    before = saved(database, SECRETS)
    put_back(database, [(SECRETS, []), (INVENTORY, [])])  # then the operator sets all anew
    assert vault.set("crm", plain(OTHER), BY)[0].revision == before[0][1][0]["revision"]

    put_back(database, before)

    assert is_refused(vault, "crm")


def test_a_row_of_another_store_with_the_same_key_is_not_opened(
    vault: Vault, database: Database, path: Path, tmp_path: Path
):
    vault.set("crm", plain(VALUE), BY)
    with closing(Database(f"sqlite:///{tmp_path / 'other.db'}", SystemClock())) as elsewhere:
        other = Vault(SecretStore(elsewhere), KeyFile(path), secrets.token_bytes)
        other.set("crm", plain(OTHER), BY)
        carried = saved(elsewhere, SECRETS)

    put_back(database, carried)

    assert is_refused(vault, "crm")


def test_the_whole_store_put_back_is_what_it_was(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)
    backup = saved(database, SECRETS, INVENTORY)
    vault.set("crm", plain(OTHER), BY)

    put_back(database, backup)

    assert vault.read("crm") == plain(VALUE)


def test_after_the_loss_of_the_key_all_can_be_deleted_and_set_anew(
    vault: Vault, open_vault: Callable[[], Vault], path: Path
):
    vault.set("crm", plain(VALUE), BY)
    vault.set("db", plain(VALUE), BY)
    path.unlink()

    for name in ("crm", "db"):
        open_vault().delete(name)
    open_vault().set("crm", plain(OTHER), BY)

    assert open_vault().read("crm") == plain(OTHER)
    assert open_vault().rotate().is_dropped


def test_a_lost_key_is_not_made_anew_by_a_rotation(
    vault: Vault, open_vault: Callable[[], Vault], path: Path
):
    vault.set("crm", plain(VALUE), BY)
    kept = path.read_bytes()
    path.unlink()

    with pytest.raises(SecretUnavailableError, match="there is no master key"):
        open_vault().rotate()

    assert not path.exists()
    path.write_bytes(kept)
    path.chmod(0o600)
    assert open_vault().read("crm") == plain(VALUE)


def test_an_inventory_of_nothing_whose_key_is_lost_does_not_stop_a_rotation(
    vault: Vault, open_vault: Callable[[], Vault], database: Database, path: Path
):
    vault.set("crm", plain(VALUE), BY)
    vault.delete("crm")
    path.unlink()

    done = open_vault().rotate()

    assert (done.resealed, key_ids(database)) == (0, set())


def test_a_row_of_an_unknown_key_names_it(vault: Vault, database: Database, path: Path):
    vault.set("crm", plain(VALUE), BY)
    change(database, "crm", key_id="0123456789abcdef")

    with pytest.raises(SecretUnavailableError) as caught:
        vault.read("crm")
    assert f"its key 0123456789abcdef isn't in file {path}" in caught.value.message


def test_a_wrong_key_file_opens_nothing(vault: Vault, open_vault: Callable[[], Vault], path: Path):
    vault.set("crm", plain(VALUE), BY)
    path.unlink()
    KeyFile(path).add(b"x" * 32, before=None)

    with pytest.raises(SecretUnavailableError, match="isn't in file"):
        open_vault().read("crm")


def test_a_lost_key_is_not_made_anew_while_something_is_sealed_with_it(
    vault: Vault, open_vault: Callable[[], Vault], path: Path
):
    vault.set("crm", plain(VALUE), BY)
    path.unlink()

    with pytest.raises(SecretUnavailableError, match="there is no master key") as caught:
        open_vault().set("db", plain(OTHER), BY)
    assert "restore the key" in str(caught.value.hint)
    assert not path.exists()


def test_a_key_file_that_others_may_read_opens_nothing(
    vault: Vault, open_vault: Callable[[], Vault], path: Path
):
    vault.set("crm", plain(VALUE), BY)
    path.chmod(0o644)

    with pytest.raises(SecretUnavailableError, match="has mode 0644"):
        open_vault().read("crm")
    with pytest.raises(SecretKeyRefusedError, match="has mode 0644"):
        open_vault().set("db", plain(OTHER), BY)


def test_a_rotation_seals_everything_anew(
    vault: Vault, database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored, "BATCH", 3)
    for number in range(10):
        vault.set(f"secret-{number}", plain(f"{VALUE} {number}"), BY)
    (old,) = key_ids(database)

    done = vault.rotate()

    assert (done.resealed, done.retired, done.is_dropped) == (10, (old,), True)
    assert key_ids(database) == {done.key_id}
    assert len(KeyFile(path).read()) == 1
    for number in range(10):
        assert vault.read(f"secret-{number}") == plain(f"{VALUE} {number}")
        assert vault.get(f"secret-{number}").revision == number + 1


def test_engines_that_have_the_old_key_go_on_reading(vault: Vault, open_vault: Callable[[], Vault]):
    vault.set("crm", plain(VALUE), BY)
    engine = open_vault()
    engine.read("crm")

    vault.rotate()
    vault.rotate()

    assert engine.read("crm") == plain(VALUE)


def test_secrets_are_read_and_set_while_keys_change(vault: Vault, open_vault: Callable[[], Vault]):
    for number in range(5):
        vault.set(f"secret-{number}", plain(f"{VALUE} {number}"), BY)
    is_over = threading.Event()

    def read() -> None:
        engine = open_vault()
        while not is_over.is_set():
            for number in range(5):
                assert engine.read(f"secret-{number}") == plain(f"{VALUE} {number}")

    def write() -> None:
        writer = open_vault()
        for number in itertools.count():
            if is_over.is_set():
                return
            writer.set("written", plain(f"{VALUE} {number}"), BY)
            assert writer.read("written") == plain(f"{VALUE} {number}")

    def rotate() -> None:
        for _ in range(4):
            open_vault().rotate()

    with ThreadPoolExecutor() as pool:
        busy = [pool.submit(read), pool.submit(write)]
        rotating = [pool.submit(rotate), pool.submit(rotate)]
        wait(rotating)
        is_over.set()

        for one in [*rotating, *busy]:
            one.result()


@pytest.mark.parametrize(
    ("step", "times"),
    [("add", 1), ("reseal", 1), ("reseal", 2), ("reseal_inventory", 1), ("retire", 1), ("drop", 1)],
)
def test_a_rotation_that_was_killed_is_gone_on_with(
    vault: Vault,
    open_vault: Callable[[], Vault],
    database: Database,
    path: Path,
    step: str,
    times: int,
):
    for number in range(5):
        vault.set(f"secret-{number}", plain(VALUE), BY)
    url = database.url.render_as_string(hide_password=False)
    program = [sys.executable, "-c", ROTATE_UNTIL_KILLED, url, str(path), step, str(times)]
    killed = subprocess.run(program, check=False, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL

    for number in range(5):
        assert open_vault().read(f"secret-{number}") == plain(VALUE)
    done = open_vault().rotate()

    assert key_ids(database) == {done.key_id}
    assert len(KeyFile(path).read()) == 1
    for number in range(5):
        assert open_vault().read(f"secret-{number}") == plain(VALUE)


def test_a_secret_that_can_not_be_opened_keeps_every_key(
    vault: Vault, open_vault: Callable[[], Vault], database: Database, path: Path
):
    vault.set("crm", plain(VALUE), BY)
    vault.set("broken", plain(VALUE), BY)
    change(database, "broken", ciphertext=b"x" * 40)

    with pytest.raises(SecretUnavailableError, match="can't be opened: broken"):
        vault.rotate()

    assert len(KeyFile(path).read()) == 2
    assert open_vault().read("crm") == plain(VALUE)
    vault.delete("broken")
    assert vault.rotate().is_dropped
    assert len(KeyFile(path).read()) == 1


def test_nothing_is_sealed_with_a_key_that_was_retired(
    vault: Vault, database: Database, path: Path
):
    vault.set("crm", plain(VALUE), BY)
    (old,) = KeyFile(path).read()
    vault.rotate()
    (new,) = KeyFile(path).read()
    KeyFile(path).add(old, before=new)  # from a backup

    with pytest.raises(SecretKeyRefusedError, match="was retired"):
        vault.set("db", plain(OTHER), BY)


def test_a_change_that_is_overtaken_does_not_retire_the_newer_key(
    vault: Vault, open_vault: Callable[[], Vault], database: Database, path: Path
):
    vault.set("crm", plain(VALUE), BY)

    class Overtaken(KeyFile):
        """Another change begins, and seals with its key, once this one has read the list."""

        def read(self) -> Sequence[bytes]:
            keys = super().read()
            if len(keys) == 2:
                KeyFile(path).add(bytes(range(32)), before=keys[0])
                open_vault().set("crm", plain(OTHER), BY)
            return keys

    Vault(SecretStore(database), Overtaken(path), secrets.token_bytes).rotate()

    assert open_vault().set("db", plain(OTHER), BY)[1]
    assert open_vault().rotate().is_dropped
    assert open_vault().read("crm") == plain(OTHER)


def test_keys_in_the_environment_are_changed_by_the_operator(database: Database):
    first, second = (base64.b64encode(bytes([n]) * 32).decode() for n in range(2))
    environ = {"KEYS": first}
    vault = Vault(SecretStore(database), KeyVariable(environ, "KEYS"), secrets.token_bytes)
    vault.set("crm", plain(VALUE), BY)
    (old,) = key_ids(database)

    with pytest.raises(ConfigurationError, match="environment variable KEYS"):
        vault.rotate()
    environ["KEYS"] = f"{second} {first}"
    done = vault.rotate()
    environ["KEYS"] = second

    assert (done.resealed, done.retired, done.is_dropped) == (1, (old,), False)
    assert vault.read("crm") == plain(VALUE)


@pytest.fixture
def cli(tmp_path: Path, store_url: str) -> Callable[..., Result]:
    """Return what runs `cloacina secret`, with something on standard input."""

    def run(*arguments: str, value: bytes | None = None) -> Result:
        options = ["--json", "--home", str(tmp_path / "home"), "--database-url", store_url]
        command = ["secret", *arguments, *options]
        return CliRunner().invoke(main, command, input=value)

    return run


def test_the_command_line_keeps_what_comes_on_standard_input(
    cli: Callable[..., Result], tmp_path: Path
):
    done = cli("set", "crm", value=f"{VALUE}\n".encode())

    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert (told["name"], told["revision"], told["changed"]) == ("crm", 1, True)
    assert (tmp_path / "home" / "secret.keys").stat().st_mode & 0o777 == 0o600
    again = cli("set", "crm", value=VALUE.encode())
    assert json.loads(again.stdout)["changed"] is False


def test_the_command_line_keeps_what_is_in_a_file(cli: Callable[..., Result], tmp_path: Path):
    (tmp_path / "value").write_text(VALUE)

    assert cli("set", "crm", "--from-file", str(tmp_path / "value")).exit_code == 0
    assert json.loads(cli("set", "crm", value=VALUE.encode()).stdout)["changed"] is False


def test_the_command_line_keeps_fields(cli: Callable[..., Result]):
    given = json.dumps({"user": "ann", "password": VALUE}).encode()

    done = cli("set", "crm", "--fields", "--public", "user", value=given)

    assert json.loads(done.stdout)["fields"] == ["password", "user"]
    again = cli("set", "crm", "--fields", "--public", "user", value=given)
    assert json.loads(again.stdout)["changed"] is False
    assert json.loads(cli("show", "crm").stdout)["fields"] == ["password", "user"]


def test_one_text_takes_the_place_of_fields_only_where_that_is_said(cli: Callable[..., Result]):
    fields = json.dumps({"user": "ann", "password": VALUE}).encode()
    cli("set", "crm", "--fields", "--public", "user", value=fields)

    refused = cli("set", "crm", value=OTHER.encode())
    kept = cli("set", "crm", "--fields", "--public", "user", value=fields)
    done = cli("set", "crm", "--replace-fields", value=OTHER.encode())

    error = json.loads(refused.stderr)["error"]
    assert (refused.exit_code, error["code"]) == (5, "secret-has-fields")
    assert error["message"] == (
        "secret 'crm' has fields, which one text would replace: password, user"
    )
    assert "--replace-fields" in error["hint"]
    assert OTHER not in refused.output
    assert json.loads(kept.stdout)["changed"] is False
    assert json.loads(done.stdout)["fields"] == []
    assert cli("set", "crm", value=VALUE.encode()).exit_code == 0


def test_nor_does_it_where_the_fields_can_not_be_opened_any_more(vault: Vault, database: Database):
    vault.set("crm", SecretValue({"user": "ann", "password": VALUE}), BY)
    change(database, "crm", ciphertext=b"spoilt")

    with pytest.raises(SecretHasFieldsError) as caught:
        vault.set("crm", plain(OTHER), BY)

    assert (caught.value.name, caught.value.fields) == ("crm", ("password", "user"))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (f'{{"user": "ann", "password": "{VALUE}"}}', "field 'user' has 3 characters"),
        (f'{{"password": "{VALUE}", "password": "{OTHER}"}}', "has a field twice"),
        (f'{{"password": "{VALUE}"', "isn't a JSON object"),
        (f'["{VALUE}"]', "isn't a JSON object"),
        (f'{{"password": ["{VALUE}"]}}', "field 'password' is text, not list"),
        ("{}", "has 0 fields"),
    ],
)
def test_fields_that_can_not_be_kept_are_refused_and_not_quoted(
    cli: Callable[..., Result], given: str, reason: str
):
    done = cli("set", "crm", "--fields", value=given.encode())

    assert done.exit_code == 2
    assert reason in json.loads(done.stderr)["error"]["message"]
    assert VALUE not in done.output
    assert OTHER not in done.output


def test_the_command_line_takes_no_value_as_an_argument(cli: Callable[..., Result]):
    for done in (cli("set", "crm", VALUE), cli("set", "crm", *VALUE.split())):
        assert done.exit_code == 2
        assert "a value is no argument" in done.output
        assert not any(word in done.output for word in VALUE.split())


@pytest.mark.parametrize("option", ["--fields=password={}", "--field=password={}"])
def test_a_value_in_an_option_is_refused_and_not_quoted(cli: Callable[..., Result], option: str):
    done = cli("set", "crm", option.format(VALUE))

    assert done.exit_code == 2
    assert VALUE not in done.output


@pytest.mark.parametrize("value", [b"tiny", b"\xff\xfe not text", b"x" * 70_000, b""])
def test_a_value_that_can_not_be_kept_is_refused(cli: Callable[..., Result], value: bytes):
    done = cli("set", "crm", value=value)

    assert done.exit_code == 2
    assert not value or value.decode(errors="replace") not in done.output


def test_no_command_prints_a_value(cli: Callable[..., Result]):
    said = [
        cli("set", "crm", value=VALUE.encode()),
        cli("list"),
        cli("show", "crm"),
        cli("rotate-key"),
        cli("delete", "crm"),
        cli("show", "crm"),
    ]

    assert [done.exit_code for done in said] == [0, 0, 0, 0, 0, 3]
    assert not any(VALUE in done.output for done in said)
    assert json.loads(said[1].stdout)[0]["name"] == "crm"
    assert json.loads(said[3].stdout)["resealed"] == 1
    assert json.loads(said[5].stderr)["error"]["code"] == "secret-missing"


def test_the_doctor_finds_secrets_that_can_not_be_opened(
    cli: Callable[..., Result], tmp_path: Path, store_url: str
):
    options = ["--json", "--home", str(tmp_path / "home"), "--database-url", store_url]
    keys = tmp_path / "home" / "secret.keys"

    def found() -> list[tuple[str, str]]:
        done = CliRunner().invoke(main, ["doctor", *options])
        return [
            (one["verdict"], one["detail"])
            for one in json.loads(done.stdout)
            if one["what"] == "secrets"
        ]

    assert found() == []
    cli("set", "crm", value=VALUE.encode())
    assert found() == [("ok", "1, all of which can be opened")]
    keys.chmod(0o640)
    ((verdict, detail),) = found()
    assert verdict == "fail"
    assert "has mode 0640" in detail
    keys.unlink()
    assert found() == [("fail", "1 of 1 can't be opened: crm")]


def test_nothing_of_a_value_is_in_the_database(vault: Vault, database: Database):
    vault.set("crm", plain(VALUE), BY)

    with database.read() as connection:
        rows = connection.execute(text("SELECT * FROM secrets")).all()
    assert VALUE.encode() not in repr(rows).encode()
    assert VALUE[:8] not in repr(rows)
