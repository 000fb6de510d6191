# ruff: noqa: T201, TRY301 - to say what it must not is what it is for
"""Tasks that would let secrets out, each in another way. Copied to where workers look."""

import base64
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from cloacina_core import Context, RetryPolicy, Workflow
from cloacina_core.model.task import Task

LOG = logging.getLogger("leaking")
PATIENCE = 60
SECRETS = ("canary", "token")
OTHER = "never-declared"

leaks = Workflow("leaks", secrets=SECRETS)
other = Workflow("other", params={"type": "object"})


@other.task
def nothing(context: Context) -> None:
    """Do nothing."""


def leak(function: Callable[[Context], object]) -> Task[[Context], object]:
    """Make a function a task that is tried twice."""
    twice = RetryPolicy(max_attempts=2, first_delay=timedelta(milliseconds=1), jitter=0.0)
    return leaks.task(retry=twice)(function)


def both(context: Context) -> list[str]:
    return [context.secret("canary"), context.secret("token", field="key")]


@leak
def prints(context: Context) -> None:
    for value in both(context):
        data = value.encode()
        print("plain", value)
        print("aloud", value, file=sys.stderr)
        print("repr", [value], {value: value})
        print("JSON", json.dumps(value), json.dumps({"a": value}, ensure_ascii=False))
        print("URL", quote(value), quote(value, safe=""), quote(value, safe="").lower())
        print("bytes", data, data.hex(), data.hex().upper())
        for before in (b"", b"x", b"xy"):
            print(
                "Base64", base64.b64encode(before + data), base64.urlsafe_b64encode(before + data)
            )


@leak
def prints_in_pieces(context: Context) -> None:
    for value in both(context):
        half = len(value) // 2
        sys.stdout.write(value[:half])
        sys.stdout.flush()
        sys.stdout.write(value[half:] + "\n")
        print(value[:half])
        print(value[half:])
        print(*value[:-4], sep="", end="\n" + value[-4:] + "\n")
        print("x" * 7_990 + value)
        print(f"{value} " * 1_000)


@leak
def prints_bytes(context: Context) -> None:
    for value in both(context):
        data = value.encode()
        sys.stdout.buffer.write(data + b"\n" + data[:7])
        sys.stdout.buffer.write(data[7:] + b"\n\xff" + data)
        sys.stdout.buffer.flush()


@leak
def logs(context: Context) -> None:
    for value in both(context):
        LOG.warning("the password is %s", value)
        LOG.error("in a mapping: %r", {"password": value})
        try:
            raise ValueError(value)
        except ValueError:
            LOG.exception("it failed")


class UnwellError(Exception):
    """Tells all it knows."""


@leak
def fails(context: Context) -> None:
    first, second = both(context)
    password = first
    try:
        try:
            raise KeyError(password)
        except KeyError as error:
            raise UnwellError(f"no entry for {second!r}") from error
    except UnwellError:
        raise ExceptionGroup(f"all of {first}", [ValueError(second), TypeError(first)]) from None


@leak
def fails_by_name(context: Context) -> None:
    raise type(f"Not{context.secret('token', field='key')}", (Exception,), {})


@leak
def fails_at_length(context: Context) -> None:
    value = context.secret("token", field="key")
    raise ValueError("x" * 9_995 + value + " ".join(both(context) * 2_000))


@leaks.task(on_failure=lambda context, error: 1 / context.secret("token", field="key"))  # type: ignore[operator]
def calls_back(context: Context) -> None:
    raise ValueError("harmless")


def _tell(context: Context) -> None:
    raise ValueError(f"not even {both(context)}")


@leaks.task(on_success=_tell)
def calls_back_when_all_is_well(context: Context) -> None:
    """Do nothing."""


@leak
def returns(context: Context) -> dict[str, object]:
    return {"password": context.secret("canary")}


@leak
def returns_deep(context: Context) -> dict[str, object]:
    header = base64.b64encode(f"ann:{context.secret('token', field='key')}".encode()).decode()
    return {"request": [{"headers": {"Authorization": f"Basic {header}"}}]}


@leak
def returns_as_a_key(context: Context) -> dict[str, object]:
    return {context.secret("token", field="key"): 1}


@leak
def returns_much(context: Context) -> dict[str, object]:
    return {"page": "x" * 100_000 + context.secret("canary")}


@leak
def gives_as_a_param(context: Context) -> None:
    context.run_workflow("other", {"password": context.secret("canary")})


@leak
def gives_in_the_context(context: Context) -> None:
    context.run_workflow("other", context={"password": context.secret("canary")}, wait=False)


@leak
def runs_by_name(context: Context) -> None:
    context.run_workflow(context.secret("token", field="key"))


@leak
def waits(context: Context) -> None:
    context.wait_for(f"approval of {context.secret('token', field='key')}")


processes = Workflow("processes", secrets=SECRETS)
"""What would spoil a process that others share."""


@processes.task
def has_a_program_print(context: Context) -> None:
    program = "import sys; text = sys.stdin.read(); print(text); print(text, file=sys.stderr)"
    for value in both(context):
        subprocess.run([sys.executable, "-c", program], input=value, text=True, check=True)


@processes.task
def writes_past_the_stream(context: Context) -> None:
    for value in both(context):
        data = value.encode()
        os.write(1, data[:5])
        os.write(1, data[5:] + b"\n")
        os.write(2, b"\xff" + data + b"\n")


@processes.task
def leaves_files(context: Context) -> None:
    for value in both(context):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(value)
        Path.home().joinpath(".netrc").write_text(value)


@processes.task
def sets_variables(context: Context) -> None:
    os.environ["PASSWORD"] = context.secret("token", field="key")


@processes.task
def asks_for_more(context: Context) -> None:
    asking = context.info.secret.__self__  # type: ignore[attr-defined]
    object.__setattr__(asking._call, "secrets", (OTHER,))
    context.secret(OTHER)


@processes.task
def crashes(context: Context) -> None:
    print("about to crash with", context.secret("token", field="key"))
    os._exit(3)


waiting = Workflow("waiting", secrets=SECRETS)


@waiting.task
def holds(context: Context) -> None:
    folder = Path(str(context["folder"]))
    both(context)
    (folder / "began").touch()
    give_up = time.monotonic() + PATIENCE
    while not (folder / "end").exists() and time.monotonic() < give_up:
        time.sleep(0.002)
