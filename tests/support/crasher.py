"""Tasks that do to their process what a process can suffer. Copied to where workers look."""

import ctypes
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from cloacina_core import Context, Workflow

crasher = Workflow("crasher")
SHORT = 0.005
BOMB_DEPTH = 6
FLOOD_LINES = 300_000
FOREVER = ["sleep", "1000"]


def say(context: Context, word: str) -> None:
    Path(context["folder"], word).write_text(str(os.getpid()))


def wait_for(context: Context, word: str) -> None:
    while not Path(context["folder"], word).exists():
        time.sleep(SHORT)


def connection() -> int:
    """Return the descriptor of the connection to the engine, as no task should."""
    numbers = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return next(n for n in numbers if is_socket(n))


def is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:  # that of the listing itself
        return False


def send(message: object) -> None:
    body = json.dumps(message).encode()
    os.write(connection(), struct.pack(">I", len(body)) + body)


@crasher.task
def ok(context: Context) -> dict[str, int]:
    return {"pid": os.getpid()}


@crasher.task
def neighbour(context: Context) -> dict[str, str]:
    say(context, "neighbour")
    wait_for(context, "end")
    return {"said": "unharmed"}


@crasher.task
def hang(context: Context) -> None:
    say(context, "hangs")
    while True:
        time.sleep(SHORT)


@crasher.task
def ask(context: Context) -> None:
    context.secret("crm")


@crasher.task
def ask_and_end(context: Context) -> dict[str, str]:
    threading.Thread(target=context.secret, args=["crm"], daemon=True).start()
    wait_for(context, "asked")
    return {"said": "enough"}


@crasher.task
def ask_twice(context: Context) -> None:
    attempt = f"{context.info.run_id}/{list(crasher.tasks).index('ask_twice')}"
    for _ in range(2):
        send({"attempt": f"{attempt}/{context.info.attempt}", "type": "secret", "name": "crm"})
    hang(context)


@crasher.task
def ignore_signals(context: Context) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    say(context, "hangs")
    while True:
        time.sleep(SHORT)


@crasher.task
def leave_and_hang(context: Context) -> None:
    """Leave a process behind, which only a subreaper finds; elsewhere, one in the same group."""
    subprocess.Popen(FOREVER, start_new_session=context["detached"])
    hang(context)


@crasher.task
def segfault(context: Context) -> None:
    ctypes.string_at(0)


@crasher.task
def exit_without_a_word(context: Context) -> None:
    os._exit(0)


@crasher.task
def abort(context: Context) -> None:
    os.abort()


@crasher.task
def use_much_memory(context: Context) -> None:
    bytearray(8 << 30)


@crasher.task
def overflow_the_stack(context: Context) -> None:
    sys.setrecursionlimit(1 << 30)
    kind = ctypes.CFUNCTYPE(ctypes.c_int)
    again = kind(lambda: again())  # noqa: PLW0108 - it has a name only then
    again()


@crasher.task
def recurse(context: Context) -> None:
    def again() -> None:
        again()

    again()


@crasher.task
def bomb(context: Context) -> None:
    """Fork processes that fork, some of them in sessions of their own; all stay."""
    for _ in range(BOMB_DEPTH):
        if os.fork() == 0 and os.getpid() % 2:
            os.setsid()
    say(context, f"bomb {os.getpid()}")
    while True:
        time.sleep(1)


@crasher.task
def open_many_files(context: Context) -> None:
    files = []
    while True:
        files.append(open(os.devnull))  # noqa: SIM115, PTH123 - they stay open


@crasher.task
def flood(context: Context) -> dict[str, str]:
    for number in range(FLOOD_LINES):
        print("line", number, "x" * 80)  # noqa: T201 - that is the point
    os.write(2, b"y" * (4 << 20))
    return {"said": "all"}


@crasher.task
def close_descriptors(context: Context) -> None:
    os.closerange(0, 256)


@crasher.task
def leave_a_thread(context: Context) -> dict[str, str]:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return {"said": "done"}


@crasher.task
def leave_processes(context: Context) -> dict[str, str]:
    subprocess.Popen(FOREVER)
    subprocess.Popen(FOREVER, start_new_session=True)
    subprocess.Popen("sleep 1000 & sleep 1000 & wait", shell=True, start_new_session=True)
    if os.fork() == 0:  # a daemon, as daemons are made
        os.setsid()
        if os.fork() == 0:
            say(context, "daemon")
            time.sleep(1000)
        os._exit(0)
    wait_for(context, "daemon")
    return {"said": "done"}


@crasher.task
def leave_files(context: Context) -> dict[str, str]:
    folder = Path(os.environ["TMPDIR"], "closed")
    folder.mkdir()
    (folder / "file").touch()
    folder.chmod(0)
    return {"tmp": os.environ["TMPDIR"], "home": os.environ["HOME"]}


@crasher.task
def send_half_a_frame(context: Context) -> None:
    os.write(connection(), b"\0\0\1")
    os._exit(0)


@crasher.task
def send_a_frame_too_long(context: Context) -> None:
    os.write(connection(), b"\xff\xff\xff\xff")
    wait_for(context, "never")


@crasher.task
def send_no_json(context: Context) -> None:
    os.write(connection(), b"\0\0\0\1{")
    wait_for(context, "never")


@crasher.task
def answer_for_another(context: Context) -> None:
    send({"attempt": "another/1/1", "type": "outcome"})
    wait_for(context, "never")


@crasher.task
def send_anything(context: Context) -> None:
    own = f"{context.run_id}/{context['number']}/{context.attempt}"
    message = context["message"]
    send({"attempt": own, **message} if isinstance(message, dict) else message)
    wait_for(context, "never")


@crasher.task
def kill_the_keeper(context: Context) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    wait_for(context, "never")


@crasher.task
def see(context: Context) -> dict[str, object]:
    """Tell what this process sees of its surroundings."""
    return {
        "variables": sorted(os.environ),
        "umask": os.umask(0o077),
        "input": sys.stdin.read(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
        "path": [folder for folder in sys.path if "site-packages" in folder],
        "modules": sorted(
            name for name in sys.modules if name in ("sqlalchemy", "pluggy", "click")
        ),
        "cwd": str(Path.cwd()),
    }
