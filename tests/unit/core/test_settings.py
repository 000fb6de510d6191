"""Settings: which value counts, where it came from, and how a wrong one is told."""

import os
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloacina_core.errors import ConfigurationError, ForeignProjectError
from cloacina_core.foundation.period import Period
from cloacina_core.settings import Settings, default_home, read_settings

FOUR = {"flag": "1", "environment": "2", "pyproject": "3", "user": "4"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "user" / ".cloacina"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home.parent)}


def write_project(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[project]\nname = 'x'\n[tool.cloacina]\n{text}", encoding="utf-8")
    return path


def refusal(*arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(*arguments)
    return caught.value


def test_without_anything_given_defaults_count(
    environment: dict[str, str], home: Path, project: Path
) -> None:
    found = read_settings(environment, project)

    assert found.settings == Settings(home=home, database_url=f"sqlite:///{home}/cloacina.db")
    assert {origin.origin for origin in found.origins} == {"default"}


def test_every_setting_is_told_once_with_its_value(
    environment: dict[str, str], project: Path
) -> None:
    found = read_settings(environment, project)

    assert [origin.name for origin in found.origins] == [field.name for field in fields(Settings)]
    assert all(getattr(found.settings, one.name) == one.value for one in found.origins)


@pytest.mark.parametrize("place", list(FOUR))
def test_the_first_place_with_a_value_counts(
    place: str, environment: dict[str, str], home: Path, project: Path
) -> None:
    places = list(FOUR)[list(FOUR).index(place) :]
    flags = {"slots": 1} if "flag" in places else {}
    if "environment" in places:
        environment["CLOACINA_SLOTS"] = "2"
    pyproject = write_project(project, "slots = 3" if "pyproject" in places else "")
    (home / "config.toml").write_text("slots = 4", encoding="utf-8")

    found = read_settings(environment, project, flags)

    assert found.settings.slots == int(FOUR[place])
    origins = {origin.name: origin.origin for origin in found.origins}
    assert (
        origins["slots"]
        == {
            "flag": "flag",
            "environment": "environment CLOACINA_SLOTS",
            "pyproject": str(pyproject),
            "user": str(home / "config.toml"),
        }[place]
    )


@pytest.mark.parametrize(
    ("url", "kind"),
    [("sqlite:///runs.db", "file"), ("postgresql+psycopg://db.internal/runs", "database")],
)
def test_packages_are_kept_where_all_who_share_the_store_find_them(
    url: str, kind: str, environment: dict[str, str], project: Path
) -> None:
    found = read_settings(environment, project, {"database_url": url})

    assert found.settings.blob_store == kind
    (origin,) = (origin for origin in found.origins if origin.name == "blob_store")
    assert origin.origin == "default"


@pytest.mark.parametrize(
    "text", ["file", "file:/srv/blobs", "database", "fsspec:s3://bucket/cloacina"]
)
def test_a_blob_store_is_a_kind_and_what_that_kind_wants(
    text: str, environment: dict[str, str], project: Path
) -> None:
    found = read_settings(environment, project, {"blob_store": text})

    assert found.settings.blob_store == text


def test_a_folder_of_blobs_in_a_file_is_below_the_folder_of_the_file(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "blob_store = 'file:blobs'")

    found = read_settings(environment, project)

    assert found.settings.blob_store == f"file:{project / 'blobs'}"


@pytest.mark.parametrize("value", ["", "File", ":x", "file:", "file: x", "/srv/blobs", 3, None])
def test_anything_else_is_no_blob_store(
    value: object, environment: dict[str, str], project: Path
) -> None:
    written = "''" if value == "" else repr(value).replace("None", "[]")
    write_project(project, f"blob_store = {written}")

    error = refusal(environment, project)

    assert "blob_store" in error.message
    assert "database" in error.message


def test_flags_that_are_none_and_variables_that_are_empty_arent_given(
    environment: dict[str, str], project: Path
) -> None:
    environment["CLOACINA_SLOTS"] = ""

    found = read_settings(environment, project, {"slots": None, "home": None})

    assert found.settings.slots == 16


def test_only_the_nearest_project_file_counts(environment: dict[str, str], project: Path) -> None:
    write_project(project, "slots = 3\nlease = 20")
    inner = project / "inner"
    (inner / "deep").mkdir(parents=True)
    write_project(inner, "slots = 5")

    found = read_settings(environment, inner / "deep").settings

    assert (found.slots, found.lease) == (5, timedelta(seconds=15))


def test_the_working_folder_may_be_relative(
    environment: dict[str, str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_project(project, "slots = 3")
    (project / "inner").mkdir()
    monkeypatch.chdir(project / "inner")

    assert read_settings(environment, Path()).settings.slots == 3


def test_a_project_without_our_table_has_no_say(environment: dict[str, str], project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool.other]\nslots = 3", encoding="utf-8")

    assert read_settings(environment, project).settings.slots == 16


def test_no_project_is_looked_for_where_the_environment_says_so(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "slots = 3")

    settings = read_settings({**environment, "CLOACINA_NO_PROJECT": "1"}, project).settings

    assert settings.slots == 16


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_project_of_somebody_else_has_no_say(
    environment: dict[str, str], project: Path
) -> None:
    file = write_project(project, "home = '.theirs'")
    os.chown(file, 12345, -1)

    with pytest.raises(ForeignProjectError) as caught:
        read_settings(environment, project)

    assert caught.value.message == (
        f"the settings in {file} aren't obeyed: {file} belongs to user 12345"
    )
    assert caught.value.hint == (
        "go without them: CLOACINA_NO_PROJECT=1; or, if you trust what stands there: "
        f"chown 0 {file}"
    )


@pytest.mark.parametrize("given", ["environment", "flag"])
def test_nor_has_it_where_all_that_it_says_is_said_elsewhere(
    given: str, environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    write_project(project, "home = '.theirs'").chmod(0o646)
    flags = {"home": tmp_path} if given == "flag" else {}
    environment |= {"CLOACINA_HOME": str(tmp_path)} if given == "environment" else {}

    with pytest.raises(ForeignProjectError, match="everybody may write"):
        read_settings(environment, project, flags)


def test_a_project_that_others_can_change_is_obeyed_by_nobody_below_it(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "slots = 3")
    project.chmod(0o757)
    (project / "mine").mkdir()

    with pytest.raises(ForeignProjectError, match="everybody may write"):
        read_settings(environment, project / "mine")


def test_nor_is_the_file_of_a_home_that_others_can_change(
    environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    write_project(project, f"home = '{theirs}'")
    file = theirs / "config.toml"
    file.write_text("require_api_key = false", encoding="utf-8")
    obeyed = read_settings(environment, project).settings
    theirs.chmod(0o777)

    with pytest.raises(ForeignProjectError, match="everybody may write") as caught:
        read_settings(environment, project)

    assert obeyed.home == theirs
    assert caught.value.file == str(file)
    named_by_the_user = {**environment, "CLOACINA_HOME": str(theirs)}
    assert read_settings(named_by_the_user, project).settings.home == theirs
    file.write_text("", encoding="utf-8")
    assert read_settings(environment, project).settings.home == theirs


@pytest.mark.parametrize("text", ["", "[tool.cloacina.package]\nisolation = 'namespace'"])
def test_what_says_nothing_of_settings_may_be_anybodys(
    text: str, environment: dict[str, str], project: Path
) -> None:
    write_project(project, text).chmod(0o646)

    assert read_settings(environment, project).settings.slots == 16


PROGRAMS = {"secret_key": "command:steal", "secret_providers": ["*=asks:steal"]}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
@pytest.mark.parametrize("home_of_project", [False, True])
def test_a_project_says_nothing_of_what_runs_programs(
    name: str,
    home_of_project: bool,
    environment: dict[str, str],
    project: Path,
) -> None:
    file = write_project(project, "home = '.home'" if home_of_project else "")
    if home_of_project:
        (project / ".home").mkdir()
        file = project / ".home" / "config.toml"
    with file.open("a", encoding="utf-8") as opened:
        opened.write(f"\n{name} = {PROGRAMS[name]!r}\n")

    error = refusal(environment, project)

    assert error.message == f"{file}: a project can't say what {name} is: it may name a program"
    assert error.hint == (
        "take it out there, and say it in the environment, or in config.toml of a home that no "
        "project names"
    )


@pytest.mark.parametrize("where", ["default home", "flag", "environment"])
def test_the_file_of_a_home_that_no_project_names_says_it(
    where: str, environment: dict[str, str], home: Path, project: Path
) -> None:
    write_project(project, "home = '.home'" if where != "default home" else "slots = 3")
    (home / "config.toml").write_text("secret_key = 'command:pass show keys'", encoding="utf-8")
    flags = {"home": home} if where == "flag" else {}
    environment |= {"CLOACINA_HOME": str(home)} if where == "environment" else {}

    settings = read_settings(environment, project, flags).settings

    assert settings.secret_key == "command:pass show keys"


def test_whether_a_project_says_something_is_told(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "home = '.home'\nslots = 3")
    environment["CLOACINA_SLOTS"] = "4"
    (project / ".home").mkdir()
    (project / ".home" / "config.toml").write_text("lease = 20", encoding="utf-8")

    origins = read_settings(environment, project).origins

    assert [item.name for item in origins if item.is_of_project] == ["home", "lease"]


def test_the_user_file_is_in_the_home_that_counts(
    environment: dict[str, str], project: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.toml").write_text("slots = 7", encoding="utf-8")

    found = read_settings(environment, project, {"home": tmp_path / "elsewhere"}).settings

    assert found.slots == 7
    assert found.database_url == f"sqlite:///{tmp_path}/elsewhere/cloacina.db"


@pytest.mark.parametrize(
    ("environment", "home"),
    [
        ({"HOME": "/home/ada"}, Path("/home/ada/.cloacina")),
        ({"USERPROFILE": "/users/ada"}, Path("/users/ada/.cloacina")),
        ({"HOME": "/home/ada", "USERPROFILE": "/users/ada"}, Path("/home/ada/.cloacina")),
        ({}, Path.home() / ".cloacina"),
    ],
)
def test_the_default_home_is_in_the_users_folder(
    environment: Mapping[str, str], home: Path
) -> None:
    assert default_home(environment) == home


def test_paths_in_a_file_are_below_its_folder(environment: dict[str, str], project: Path) -> None:
    write_project(project, "home = '.state'\ndatabase_url = 'sqlite:///runs.db?timeout=5'")
    (project / "inner").mkdir()

    found = read_settings(environment, project / "inner").settings

    assert found.home == project / ".state"
    assert found.database_url == f"sqlite:///{project}/runs.db?timeout=5"


def test_other_paths_are_below_the_working_folder(
    environment: dict[str, str], project: Path
) -> None:
    environment["CLOACINA_HOME"] = "state"
    environment["CLOACINA_DATABASE_URL"] = "sqlite:///runs.db"

    found = read_settings(environment, project).settings

    assert found.home == project / "state"
    assert found.database_url == "sqlite:///runs.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:////srv/runs.db",
        "sqlite:///:memory:",
        "sqlite:///file:runs.db?uri=true",
        "postgresql+psycopg://me@db/runs",
    ],
)
def test_urls_that_arent_relative_stay_as_they_are(
    url: str, environment: dict[str, str], project: Path
) -> None:
    write_project(project, f"database_url = '{url}'")

    assert read_settings(environment, project).settings.database_url == url


def test_a_tilde_is_the_users_folder(
    environment: dict[str, str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", environment["HOME"])

    found = read_settings(environment, project, {"home": "~/state"}).settings

    assert found.home == Path(environment["HOME"]) / "state"


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("slots", "8", 8),
        ("slots", " 8 ", 8),
        ("slots", 1, 1),
        ("lease", "1.5", timedelta(seconds=1.5)),
        ("lease", 3600, timedelta(hours=1)),
        ("lease", timedelta(seconds=9), timedelta(seconds=9)),
        ("max_value_bytes", 1024, 1024),
        ("spill_bytes", "2048", 2048),
        ("max_spilled_bytes", 2**29, 2**29),
        ("retention", "30d", Period(timedelta(days=30))),
        ("retention_failed", 0, Period(None)),
        ("retention", "forever", Period(None)),
        ("retention", Period(timedelta(hours=1)), Period(timedelta(hours=1))),
        ("blocked_plugins", " a, b ,,", ("a", "b")),
        ("blocked_plugins", ["a", "b"], ("a", "b")),
        ("blocked_plugins", [], ()),
        ("worker_memory_bytes", "unlimited", None),
        ("worker_memory_bytes", "Unlimited", None),
        ("worker_memory_bytes", "2GiB", 2 * 1024**3),
        ("worker_file_bytes", "10MB", 10_000_000),
        ("max_value_bytes", "1 MiB", 1024**2),
        ("worker_memory_bytes", 2**25, 2**25),
        ("worker_open_files", "unlimited", None),
        ("worker_processes", "1", 1),
        ("worker_environment", "AWS_PROFILE, LANGUAGE", ("AWS_PROFILE", "LANGUAGE")),
        ("require_confinement", "yes", True),
        ("require_confinement", False, False),
    ],
)
def test_a_value_is_converted(
    name: str, given: Any, value: object, environment: dict[str, str], project: Path
) -> None:
    assert getattr(read_settings(environment, project, {name: given}).settings, name) == value


WHOLE = "it takes a whole number, 1 or more"
NO_COUNTS: list[Any] = [0, -1, True, 1.0, "1.0", "-1", "x", "", [], "²"]
NO_LEASES: list[Any] = [0, 3601, "nan", "inf", "x", True, timedelta(0)]
LENGTH = "it takes a length"
SECONDS = "it takes a number of seconds between 1 and 3600"


@pytest.mark.parametrize(
    ("name", "given", "reason"),
    [
        *[("slots", given, WHOLE) for given in NO_COUNTS],
        ("max_value_bytes", 1023, "it takes a whole number, 1024 or more"),
        ("max_spilled_bytes", 2**29 + 1, "it takes a whole number, 536870912 at most"),
        *[("lease", given, SECONDS) for given in NO_LEASES],
        ("lease", [], "float() argument must be a string or a real number, not 'list'"),
        ("retention", 30, f"{LENGTH} such as 30d, 12h or 90m, or forever"),
        ("retention", True, f"{LENGTH} such as 30d, or forever"),
        ("retention_failed", 1.5, f"{LENGTH} such as 30d, or forever"),
        ("blocked_plugins", 5, "it takes a list of names"),
        ("blocked_plugins", ["a", 5], "it takes a list of names"),
        ("worker_memory_bytes", 1024, "it takes a whole number, 33554432 or more"),
        ("worker_cpu_seconds", "none", "it takes a whole number, 1 or more"),
        ("require_confinement", "maybe", "it takes true or false"),
        ("require_confinement", 1, "it takes true or false"),
        ("home", 5, "it takes a path"),
        ("home", "", "it takes a path"),
        ("home", "~no-such-user/x", "Could not determine home directory."),
        ("database_url", "runs.db", "it takes a URL such as sqlite:///cloacina.db"),
        ("database_url", 5, "it takes a URL such as sqlite:///cloacina.db"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(
    name: str, given: Any, reason: str, environment: dict[str, str], project: Path
) -> None:
    error = refusal(environment, project, {name: given})

    assert error.message == f"flag: setting {name} can't be {given!r}: {reason}"


def test_the_place_of_a_wrong_value_is_variable_or_file(
    environment: dict[str, str], home: Path, project: Path
) -> None:
    environment["CLOACINA_LEASE"] = "soon"
    pyproject = write_project(project, "slots = 'many'")
    (home / "config.toml").write_text("max_value_bytes = 5", encoding="utf-8")

    error = refusal(environment, project)

    assert error.message == "3 settings are wrong"
    assert [problem.where for problem in error.problems] == [
        str(pyproject),
        "environment CLOACINA_LEASE",
        str(home / "config.toml"),
    ]


def test_a_wrong_value_is_no_reason_to_look_further(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "slots = 3")

    assert "'many'" in refusal(environment, project, {"slots": "many"}).message


def test_unknown_settings_are_all_told_with_those_there_are(
    environment: dict[str, str], home: Path, project: Path
) -> None:
    pyproject = write_project(project, "slotz = 3\nhome = '.x'\nLease = 2")

    error = refusal(environment, project, {"debug": True})

    assert [str(problem) for problem in error.problems] == [
        "flag: there is no setting 'debug'",
        f"{pyproject}: there is no setting 'slotz'",
        f"{pyproject}: there is no setting 'Lease'",
    ]
    names = sorted(field.name for field in fields(Settings))
    assert error.hint == f"settings are: {', '.join(names)}"


def test_variables_that_are_no_settings_are_left_to_others(
    environment: dict[str, str], project: Path
) -> None:
    environment["CLOACINA_PASSPHRASE"] = "secret"

    assert read_settings(environment, project).settings.slots == 16


def test_the_home_cant_be_set_by_a_file_in_it(
    environment: dict[str, str], home: Path, project: Path
) -> None:
    (home / "config.toml").write_text("home = '/elsewhere'", encoding="utf-8")

    error = refusal(environment, project)

    assert error.message == f"{home / 'config.toml'}: the home can't be set by a file in it"


@pytest.mark.parametrize(
    "content", [b"slots = ", b"slots = 1\nslots = 2", b"\xff\xfe", b"slots = " + b"[" * 10_000]
)
def test_a_file_that_is_no_toml_is_told(
    content: bytes, environment: dict[str, str], home: Path, project: Path
) -> None:
    (home / "config.toml").write_bytes(content)

    error = refusal(environment, project)

    assert error.message.startswith(f"{home / 'config.toml'} can't be read: ")


def test_a_file_that_cant_be_opened_is_told(
    environment: dict[str, str], home: Path, project: Path
) -> None:
    (home / "config.toml").mkdir()

    assert "can't be read" in refusal(environment, project).message


def test_what_a_package_declares_of_itself_is_no_setting(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "slots = 3\n[tool.cloacina.package]\nisolation = 'namespace'")

    settings = read_settings(environment, project).settings

    assert (settings.slots, settings.isolation) == (3, "auto")


def test_there_is_no_less_isolation_than_releases_need(
    environment: dict[str, str], project: Path
) -> None:
    write_project(project, "isolation = 'namespace'")

    error = refusal(environment, project)

    assert error.message.endswith("can't be 'namespace': it takes one of auto, worker")


@pytest.mark.parametrize("text", ["tool = 5", "[tool]\ncloacina = 5", "[[tool.cloacina]]"])
def test_our_table_must_be_one(text: str, environment: dict[str, str], project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text(text, encoding="utf-8")

    assert refusal(environment, project).message == f"{path}: [tool.cloacina] must be a table"
