"""Threads that tasks start speak for their attempts, and nobody tells what an attempt was given."""

import _thread
import asyncio
import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from cloacina_core.engine.capture import Capture, LogSink, capturing
from cloacina_core.engine.redaction import Redactor
from cloacina_core.engine.strays import MAX_VALUES, KnownSecrets
from cloacina_core.testing import FrozenClock

VALUE, OTHER = "correct horse battery staple", "another long password"
CLOCK = FrozenClock()


class Process:
    """What a capture sees of a process, and a terminal that isn't there."""

    def __init__(self, *, aloud: bool) -> None:
        self.known = KnownSecrets()
        self.screen = StringIO()
        self.capture = Capture(pass_on=aloud, known=self.known)

    def sink(self) -> LogSink:
        return LogSink(CLOCK, known=self.known)

    def give(self, sink: LogSink, value: str, name: str = "crm") -> None:
        """Have an attempt be given a secret."""
        self.known.add([(name, value)])
        sink.guard(Redactor({name: value}))

    @property
    def told(self) -> str:
        return self.screen.getvalue()


@contextmanager
def process(*, aloud: bool = False) -> Iterator[Process]:
    """Capture; not a fixture: pytest puts its own streams back between the phases of a test."""
    here, before = Process(aloud=aloud), (sys.stdout, sys.stderr)
    sys.stdout = sys.stderr = here.screen
    here.capture.start()
    try:
        yield here
    finally:
        here.capture.stop()
        sys.stdout, sys.stderr = before


def say(text: str) -> None:
    print(text)  # noqa: T201 - as tasks do


def in_thread(function: Callable[..., object], *arguments: object, name: str | None = None) -> None:
    thread = threading.Thread(target=function, args=arguments, name=name)
    thread.start()
    thread.join()


def said(sink: LogSink) -> list[tuple[str, str]]:
    return [(stream, text) for _, stream, text in sink.close()]


@pytest.mark.parametrize("aloud", [False, True])
def test_a_thread_speaks_for_the_attempt_that_it_is_started_in(aloud: bool):
    with process(aloud=aloud) as here, capturing(here.sink()) as sink:
        here.give(sink, VALUE)
        in_thread(say, f"from a thread: {VALUE}")
        lines = said(sink)

    assert lines == [("stdout", "from a thread: [secret crm]")]
    assert here.told == ("from a thread: [secret crm]\n" if aloud else "")


def test_so_do_threads_of_a_pool_and_those_that_threads_start():
    with process() as here, capturing(here.sink()) as sink:
        here.give(sink, VALUE)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: say(f"{number}: {VALUE}"), range(4)))
        in_thread(in_thread, say, VALUE)
        asyncio.run(asyncio.to_thread(say, VALUE))
        lines = said(sink)

    assert {text for _, text in lines[:4]} == {f"{number}: [secret crm]" for number in range(4)}
    assert lines[4:] == [("stdout", "[secret crm]")] * 2
    assert here.told == ""


@pytest.mark.parametrize("aloud", [False, True])
def test_bytes_of_threads_go_the_same_way(aloud: bool):
    def write(data: bytes) -> None:
        for byte in data:
            sys.stdout.buffer.write(bytes([byte]))

    with process(aloud=aloud) as here, capturing(here.sink()) as sink:
        here.give(sink, "pâssword of the crm")
        in_thread(write, "it is pâssword of the crm\nand so on \u00e9".encode()[:-1])
        lines = said(sink)
        in_thread(write, "later: pâssword of the crm\n".encode())

    assert lines == [("stdout", "it is [secret crm]"), ("stdout", "and so on \\xc3")]
    before = "it is [secret crm]\nand so on \\xc3\n" if aloud else ""
    assert here.told == f"{before}later: [secret crm]\n"


def test_what_a_thread_logs_is_kept_and_told_to_others_without_values():
    heard = StringIO()
    other = logging.StreamHandler(heard)
    logging.getLogger().addHandler(other)
    try:
        with process() as here, capturing(here.sink()) as sink:
            here.give(sink, VALUE)
            in_thread(logging.getLogger("acme").error, "with %s", VALUE)
            lines = said(sink)
            in_thread(logging.getLogger("acme").error, "later, with %s", VALUE)
    finally:
        logging.getLogger().removeHandler(other)

    assert lines == [("error", "acme: with [secret crm]")]
    assert heard.getvalue() == "with [secret crm]\nlater, with [secret crm]\n"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_ends_a_thread_is_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # pytest has its own

    def fail() -> None:
        raise ValueError(VALUE)

    with process() as here, capturing(here.sink()) as sink:
        here.give(sink, VALUE)
        in_thread(fail)
        lines = said(sink)

    assert lines[-1] == ("stderr", "ValueError: [secret crm]")
    assert not any(VALUE in text for _, text in lines)
    assert here.told == ""


def test_lines_of_threads_are_not_mixed():
    both = threading.Barrier(2)

    def pieces(word: str) -> None:
        for _ in range(20):
            both.wait()
            sys.stdout.write(word)
            both.wait()
            sys.stdout.write(f"{word}\n")

    with process() as here, capturing(here.sink()) as sink:
        threads = [threading.Thread(target=pieces, args=(word,)) for word in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lines = said(sink)

    assert sorted(lines) == [("stdout", "aa")] * 20 + [("stdout", "bb")] * 20


def test_a_line_without_end_is_kept_when_its_thread_ends():
    with process() as here, capturing(here.sink()) as sink:
        here.give(sink, VALUE)
        in_thread(lambda: sys.stdout.write(VALUE[:9]) and sys.stdout.write(VALUE[9:]))

        assert said(sink) == [("stdout", "[secret crm]")]


@pytest.mark.parametrize("aloud", [False, True])
def test_a_thread_that_outlives_its_attempt_tells_nothing(aloud: bool):
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (ended.wait(), say(VALUE)))
    with process(aloud=aloud) as here:
        with capturing(here.sink()) as sink:
            thread.start()
            here.give(sink, VALUE)
            assert said(sink) == []
        ended.set()
        thread.join()

    assert here.told == "[secret crm]\n"
    assert said(sink) == []


def test_a_thread_that_outlives_the_capture_tells_nothing():
    ended = threading.Event()
    thread = threading.Thread(target=lambda: (ended.wait(), say(VALUE)))
    with process() as here:
        with capturing(here.sink()) as sink:
            here.give(sink, VALUE)
            thread.start()
            sink.close()
        here.capture.stop()
        ended.set()
        thread.join()

    assert here.told == "[secret crm]\n"


def test_a_thread_that_serves_several_attempts_tells_nothing_of_any():
    with process() as here, ThreadPoolExecutor(1) as pool, capturing(here.sink()) as first:
        here.give(first, VALUE)
        pool.submit(say, "started").result()
        with capturing(here.sink()) as second:
            here.give(second, OTHER, "db")
            pool.submit(say, f"{VALUE}, {OTHER}").result()
        lines = said(first)

    assert lines == [("stdout", "started"), ("stdout", "[secret crm], [secret db]")]


def test_whom_nobody_knows_tells_nothing():
    spoke = threading.Event()

    def speak() -> None:
        say(VALUE)
        spoke.set()

    with process() as here:
        with capturing(here.sink()) as sink:
            here.give(sink, VALUE)
            _thread.start_new_thread(speak, ())
            assert spoke.wait(60)
            assert said(sink) == []
        say(f"the program itself: {VALUE}")

    assert here.told == "[secret crm]\nthe program itself: [secret crm]\n"


def test_the_threads_of_the_engine_speak_for_nobody():
    with process() as here, capturing(here.sink()) as sink:
        in_thread(say, "about myself", name="cloacina-secret")
        lines = said(sink)

    assert lines == []
    assert here.told == "about myself\n"


def test_the_next_capture_takes_over_what_the_one_before_has_left():
    with process() as here:
        with capturing(here.sink()) as sink:
            here.give(sink, VALUE)
        here.capture.stop()
        left = sys.stdout
        say(VALUE)
        following = Capture(pass_on=False)
        following.start()
        say(f"again {VALUE}")
        following.stop()
        assert vars(sys.stdout)["original"] is vars(left)["original"]

    assert here.told == "[secret crm]\nagain [secret crm]\n"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_threads_start_as_before_when_all_captures_have_stopped(order: tuple[int, int]):
    before = threading.Thread.start
    with process() as here:
        both = here.capture, Capture(pass_on=False)
        both[1].start()
        with capturing(here.sink()) as sink:
            in_thread(say, "once")
            assert said(sink) == [("stdout", "once")]
        for index in order:
            both[index].stop()

        assert threading.Thread.start is before


def test_a_thread_that_has_run_is_let_go():
    with process() as here, capturing(here.sink()):
        thread = threading.Thread(target=say, args=("once",))
        thread.start()
        thread.join()
        left = weakref.ref(thread)
        gc.disable()
        try:
            del thread
            assert left() is None
        finally:
            gc.enable()


def test_a_thread_that_was_started_is_not_started_again():
    with process() as here, capturing(here.sink()):
        thread = threading.Thread(target=say, args=("once",))
        thread.start()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
        thread.join()


def test_the_oldest_values_are_forgotten():
    known = KnownSecrets()
    known.add([("old", VALUE)])
    for number in range(MAX_VALUES):
        known.add([("new", f"password {number:09}")])

    assert known.text(VALUE) == VALUE
    assert known.text("password 000000000, password 000000255") == "[secret new], [secret new]"


def test_a_value_that_is_still_given_is_not_forgotten():
    known = KnownSecrets()
    known.add([("old", VALUE)])
    for number in range(MAX_VALUES):
        known.add([("old", VALUE)])
        known.add([("new", f"password {number:09}")])

    assert known.text(f"{VALUE}, password 000000255") == "[secret old], [secret new]"
    assert known.text("password 000000000") == "password 000000000"


def test_attempts_that_are_given_the_same_share_what_looks_for_it():
    known, given = KnownSecrets(), [("crm", VALUE), ("db", OTHER)]
    known.add(given)

    first = known.redactor(given)

    known.add(given)
    assert known.redactor(given) is first
    assert known.redactor(given[:1]) is not first
    assert known.redactor(given[:1]).text(f"{VALUE} {OTHER}") == f"[secret crm] {OTHER}"


def test_of_two_names_of_a_value_each_attempt_is_told_its_own():
    known = KnownSecrets()
    known.add([("crm", VALUE), ("db", VALUE)])

    told = [known.redactor([(name, VALUE)]).text(VALUE) for name in ("crm", "db")]

    assert told == ["[secret crm]", "[secret db]"]


def test_what_was_forgotten_is_looked_for_all_the_same_by_who_was_given_it():
    known = KnownSecrets()
    known.add([("old", VALUE)])
    for number in range(MAX_VALUES):
        known.add([("new", f"password {number:09}")])

    assert known.redactor([("old", VALUE)]).text(VALUE) == "[secret old]"


def test_no_more_than_some_sets_of_values_are_kept_ready():
    known = KnownSecrets()
    first = known.redactor([("crm", VALUE)])

    for number in range(100):
        known.redactor([("crm", f"password {number:09}")])

    assert known.redactor([("crm", VALUE)]) is not first


def test_what_is_called_at_exit_tells_nothing(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit\n"
        "from pathlib import Path\n"
        "from cloacina_core import Workflow\n"
        "from cloacina_core.plugin.manager import Plugins\n"
        "from cloacina_core.runtime import Runtime\n"
        "from cloacina_core.settings import Settings\n"
        "flow = Workflow('leaves', secrets=['crm'])\n"
        "@flow.task\n"
        "def leave(context):\n"
        "    atexit.register(print, 'at exit:', context.secret('crm'))\n"
        "settings = Settings(home=Path('home'), database_url='sqlite:///runs.db')\n"
        "with Runtime(settings, Plugins(), workflows=[flow]) as runtime:\n"
        f"    runtime.secrets.set('crm', {VALUE!r})\n"
        "    print(runtime.run(flow).status)\n"
    )

    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stdout.splitlines()[-1:] == ["at exit: [secret crm]"], done.stderr
    assert VALUE not in done.stdout + done.stderr
