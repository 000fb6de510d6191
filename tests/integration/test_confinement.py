"""Each rule of `worker.confinement` is attacked by a real process that has confined itself."""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.confined import NOBODY, ConfinedProcesses, Ended, is_root

from cloacina_core.worker.confinement import CAPABILITIES, Limits, missing, offered

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the rules are Linux's")

OFFER = offered() if sys.platform == "linux" else None
USERS = {"ourselves": None, "nobody": NOBODY}


@pytest.fixture(scope="module")
def confined() -> Iterator[ConfinedProcesses]:
    with ConfinedProcesses() as processes:
        yield processes


def needs(name: str) -> None:
    if OFFER is None or name not in OFFER.enforced:
        pytest.skip(f"this kernel doesn't offer {name}")


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest) -> int | None:
    """Who the process is; root has more rights, and plain users less, than a rule may think."""
    if request.param == "nobody" and not is_root():
        pytest.skip("only root can become somebody else")
    return USERS[request.param]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where an attack takes place."""

    outside: Path
    """A folder with a file `secret`, both open to everybody."""
    temporary: Path
    port: int
    """Where a TCP server and a UDP server listen."""
    path: Path
    """Of a socket for streams; one for datagrams has `.datagrams` behind it."""
    abstract: str

    def code(self, attack: str) -> str:
        values = {
            "SECRET": str(self.outside / "secret"),
            "OUTSIDE": str(self.outside),
            "TEMPORARY": str(self.temporary),
            "PORT": self.port,
            "PATH": str(self.path),
            "ABSTRACT": self.abstract,
            "PARENT": os.getpid(),
        }
        return "\n".join([*(f"{name} = {value!r}" for name, value in values.items()), attack])


@pytest.fixture
def ground() -> Iterator[Ground]:
    # Not below tmp_path, which other users can't enter.
    base = Path(f"/tmp/cloacina-{os.getpid()}-{os.urandom(4).hex()}")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, base)
        for folder in (base, base / "outside", base / "temporary"):
            folder.mkdir()
            folder.chmod(0o777)
        secret = base / "outside" / "secret"
        secret.write_text("don't tell")
        secret.chmod(0o666)
        streams = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = streams.getsockname()[1]
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("127.0.0.1", port))
        for kind, address in (
            (socket.SOCK_STREAM, str(base / "socket")),
            (socket.SOCK_DGRAM, str(base / "socket.datagrams")),
            (socket.SOCK_STREAM, f"\0{base.name}"),
        ):
            server = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            server.bind(address)
            if kind == socket.SOCK_STREAM:
                server.listen()
            if not address.startswith("\0"):
                Path(address).chmod(0o777)
        yield Ground(base / "outside", base / "temporary", port, base / "socket", f"\0{base.name}")


ATTACKS = {
    "read a file": ("read-files", "open(SECRET).read()"),
    "list a folder": ("read-files", "os.listdir(OUTSIDE)"),
    "read passwd": ("read-files", "open('/etc/passwd').read()"),
    "read by a link": (
        "read-files",
        "os.symlink(SECRET, TEMPORARY + '/link'); open(TEMPORARY + '/link').read()",
    ),
    "read what init has": ("read-files", "open('/proc/1/status').read()"),
    "write a file": ("write-files", "open(SECRET, 'a').write('x')"),
    "make a file": ("write-files", "open(OUTSIDE + '/new', 'x')"),
    "empty a file": ("write-files", "os.truncate(SECRET, 0)"),
    "remove a file": ("write-files", "os.unlink(SECRET)"),
    "make a folder": ("write-files", "os.mkdir(OUTSIDE + '/new')"),
    "make a link": ("write-files", "os.symlink('/', OUTSIDE + '/new')"),
    "move a file out": (
        "write-files",
        "open(TEMPORARY + '/x', 'x').close(); os.rename(TEMPORARY + '/x', OUTSIDE + '/x')",
    ),
    "write by a link": (
        "write-files",
        "os.symlink(SECRET, TEMPORARY + '/link'); open(TEMPORARY + '/link', 'a').write('x')",
    ),
    "TCP": ("network", "socket.create_connection(('127.0.0.1', PORT), 5)"),
    "TCP server": ("network", "socket.create_server(('127.0.0.1', 0))"),
    "UDP": (
        "network",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    ),
    "socket with a path": ("network", "socket.socket(socket.AF_UNIX).connect(PATH)"),
    "socket of a name": ("network", "socket.socket(socket.AF_UNIX).connect(ABSTRACT)"),
    "one of a pair": (
        "network",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', PATH + '.datagrams')",
    ),
    "netlink": ("network", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    "fork": ("processes", "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)"),
    "program": ("processes", "subprocess.run(['/bin/true'], check=True)"),
    "spawn": (
        "processes",
        "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    ),
}
"""What each attack needs, and its code. The file of links is in a folder that may be written."""


def attacked(
    confined: ConfinedProcesses,
    attack: str,
    capabilities: frozenset[str],
    ground: Ground,
    user: int | None,
) -> Ended:
    return confined(capabilities=capabilities, writable=(ground.temporary,), user=user).do(
        ground.code(ATTACKS[attack][1])
    )


KEEPS_FROM = {
    "read-files": "landlock-read-files",
    "write-files": "landlock-write-files",
    "network": "seccomp-network",
    "processes": "seccomp-processes",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_release_does_not_declare_is_refused(
    confined: ConfinedProcesses, attack: str, ground: Ground, user: int | None
) -> None:
    word = ATTACKS[attack][0]
    needs(KEEPS_FROM[word])

    ended = attacked(confined, attack, frozenset(CAPABILITIES) - {word}, ground, user)

    assert KEEPS_FROM[word] in ended.enforced
    assert ended.refused in {"PermissionError", "OSError"}
    assert (ground.outside / "secret").read_text() == "don't tell"
    assert [path.name for path in ground.outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_a_release_declares_it_can_do(
    confined: ConfinedProcesses, attack: str, ground: Ground, user: int | None
) -> None:
    """Each attack works where its rule isn't applied, so that it is the rule that refuses it."""
    word = ATTACKS[attack][0]
    also = {"read-files"} if attack == "read what init has" else set()

    ended = attacked(confined, attack, frozenset({word} | also), ground, user)

    assert ended.refused is None
    assert KEEPS_FROM[word] not in ended.enforced


def test_nothing_is_kept_from_who_does_not_say_what_it_needs(
    confined: ConfinedProcesses, ground: Ground, user: int | None
) -> None:
    for attack in ("read a file", "write a file", "TCP", "fork"):
        ended = confined(user=user).do(ground.code(ATTACKS[attack][1]))

        assert ended.refused is None
        assert ended.enforced == ("no-core-dumps", "no-new-privileges")


ALLOWED = {
    "temporary files": "open(TEMPORARY + '/x', 'w').write('x'); open(TEMPORARY + '/x').read()\n"
    "os.mkdir(TEMPORARY + '/d'); os.rename(TEMPORARY + '/x', TEMPORARY + '/d/x')\n"
    "shutil.rmtree(TEMPORARY + '/d')",
    "nothing": "open(os.devnull, 'w').write('x')",
    "random bytes": "open('/dev/urandom', 'rb').read(8)",
    "its own memory": "open('/proc/self/status').read()",
    "the standard library": "import colorsys, decimal",
    "threads": "thread = threading.Thread(target=int); thread.start(); thread.join()",
    "an event loop": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "a pair of streams": "one, two = socket.socketpair(); one.sendall(b'x'); two.recv(1)",
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_computing_takes_is_left(
    confined: ConfinedProcesses, what: str, ground: Ground
) -> None:
    ended = confined(capabilities=(), writable=(ground.temporary,)).do(ground.code(ALLOWED[what]))

    assert ended.refused is None


def test_folders_of_its_environment_can_be_read_and_not_written(
    confined: ConfinedProcesses, ground: Ground
) -> None:
    needs("landlock-write-files")
    keeper = confined(capabilities=(), readable=(ground.outside,))

    assert keeper.do(ground.code(ATTACKS["read a file"][1])).refused is None
    assert keeper.do(ground.code(ATTACKS["write a file"][1])).refused == "PermissionError"


def test_signals_reach_nobody_outside(
    confined: ConfinedProcesses, ground: Ground, user: int | None
) -> None:
    needs("landlock-signals")
    # As the same user as this process, which it could else send signals to.
    ended = confined(capabilities=CAPABILITIES).do(ground.code("os.kill(PARENT, 0)"))

    assert "landlock-signals" in ended.enforced
    assert ended.refused == "PermissionError"
    assert confined().do(ground.code("os.kill(PARENT, 0)")).refused is None


CALLS_ON_OTHERS = {
    "look into another": "libc.process_vm_readv(PARENT, None, 0, None, 0, 0)",
    "change namespaces": "libc.unshare(0)",
    "trace": "libc.ptrace(16, PARENT, None, None)",
}


@pytest.mark.parametrize("attack", CALLS_ON_OTHERS)
def test_others_are_left_alone(confined: ConfinedProcesses, attack: str, ground: Ground) -> None:
    needs("seccomp-others")
    code = f"""
libc = ctypes.CDLL(None, use_errno=True)
if {CALLS_ON_OTHERS[attack]} < 0 and ctypes.get_errno() == errno.EPERM:
    raise PermissionError"""

    ended = confined(capabilities=CAPABILITIES).do(ground.code(code))

    assert "seccomp-others" in ended.enforced
    assert ended.refused == "PermissionError"


def test_the_rights_of_root_are_gone(confined: ConfinedProcesses, ground: Ground) -> None:
    if not is_root():
        pytest.skip("only root has them")
    locked = ground.outside / "locked"
    locked.write_text("not root's")
    os.chown(locked, NOBODY, NOBODY)
    locked.chmod(0o600)
    code = ground.code("open(OUTSIDE + '/locked').read()")

    assert confined(capabilities=CAPABILITIES).do(code).refused == "PermissionError"
    assert confined().do(code).refused is None


def test_a_network_of_its_own_is_told_only_where_it_is(
    confined: ConfinedProcesses, user: int | None
) -> None:
    needs("network-namespace")
    code = "if os.stat('/proc/self/ns/net').st_ino == NETWORK: raise PermissionError"
    before = "NETWORK = os.stat('/proc/self/ns/net').st_ino"

    apart = confined(capabilities=(), before=before, user=user).do(code)
    shared = confined(capabilities=("network",), before=before, user=user).do(code)

    assert ("network-namespace" in apart.enforced) == (apart.refused is None)
    assert "network-namespace" in apart.enforced
    assert shared.refused == "PermissionError"
    assert "network-namespace" not in shared.enforced


def test_who_it_is_stays_the_same_in_its_own_network(
    confined: ConfinedProcesses, user: int | None
) -> None:
    needs("network-namespace")
    before = "US = os.getuid(), os.getgid()"

    ended = confined(capabilities=(), before=before, user=user).do(
        "if (os.getuid(), os.getgid()) != US: raise PermissionError"
    )

    assert ended.refused is None


def test_a_program_with_more_rights_has_no_more(
    confined: ConfinedProcesses, tmp_path: Path
) -> None:
    """A copy of `id` that is set-user-id to root says who it is."""
    if not is_root():
        pytest.skip("only root can make such a program")
    program = tmp_path / "id"
    shutil.copy(shutil.which("id") or "/usr/bin/id", program)
    program.chmod(0o4755)
    # Opened before, as the folder is root's; what is executed by its descriptor is the same.
    before = f"""
program = os.open({str(program)!r}, os.O_RDONLY)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
def user():
    path = f"/proc/self/fd/{{program}}"
    return int(subprocess.run([path, "-u"], pass_fds=[program], stdout=subprocess.PIPE).stdout)
was = user()"""

    ended = confined(before=before).do("""
if was != 0: raise MemoryError
if user() != 0: raise PermissionError""")

    if ended.refused == "MemoryError":
        pytest.skip("the file system of temporary files heeds no such programs")
    assert "no-new-privileges" in ended.enforced
    assert ended.refused == "PermissionError"


MEBIBYTE = 1024 * 1024
WRITE = "with open(TEMPORARY + '/x', 'wb') as file: file.write(bytes(8192))"


@pytest.mark.parametrize(
    ("limits", "attack", "error"),
    [
        (Limits(memory_bytes=128 * MEBIBYTE), f"bytearray({256 * MEBIBYTE})", "MemoryError"),
        (Limits(memory_bytes=128 * MEBIBYTE), f"mmap.mmap(-1, {2048 * MEBIBYTE})", "OSError"),
        (Limits(open_files=64), "kept = [os.open('/dev/null', 0) for _ in range(64)]", "OSError"),
        (Limits(file_bytes=4096), WRITE, "OSError"),
    ],
)
def test_a_runaway_meets_its_limit(
    confined: ConfinedProcesses,
    limits: Limits,
    attack: str,
    error: str,
    ground: Ground,
    user: int | None,
) -> None:
    code = ground.code(attack)

    held = confined(limits=limits, user=user).do(code)

    assert held.refused == error
    assert not missing(held.enforced, limits, None)
    assert confined(user=user).do(code).refused is None


@pytest.mark.parametrize(
    ("before", "end"),
    [
        ("", signal.SIGXCPU),
        ("signal.signal(signal.SIGXCPU, signal.SIG_IGN)", signal.SIGKILL),
    ],
)
def test_who_computes_for_ever_is_ended(
    confined: ConfinedProcesses, before: str, end: signal.Signals
) -> None:
    ended = confined(limits=Limits(cpu_seconds=1), before=before).do("while True: pass")

    assert ended.status == -end


def test_processes_are_counted_beside_those_that_are_there(
    confined: ConfinedProcesses, user: int | None
) -> None:
    code = """
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
if not 5 < soft == hard: raise PermissionError"""

    ended = confined(limits=Limits(processes=5), user=user).do(code)

    assert ended.refused is None
    is_held = user is not None or not is_root()  # root may have as many as it likes
    assert ("rlimit-processes" in ended.enforced) == is_held


def test_too_many_processes_are_refused(confined: ConfinedProcesses) -> None:
    if not is_root():
        pytest.skip("a user whose processes are known is needed: nobody")
    before = "resource.setrlimit(resource.RLIMIT_NPROC, (3, 3))"
    code = """
pids = []
try:
    for _ in range(20):
        pids.append(os.fork())
        if not pids[-1]:
            signal.pause()
finally:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)"""

    ended = confined(limits=Limits(processes=5), user=NOBODY, before=before).do(code)

    assert ended.refused == "BlockingIOError"


def test_a_lower_limit_that_is_there_stays(confined: ConfinedProcesses) -> None:
    before = "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))"
    code = "if resource.getrlimit(resource.RLIMIT_NOFILE) != (50, 50): raise PermissionError"

    assert confined(limits=Limits(open_files=64), before=before).do(code).refused is None


def test_no_core_is_dumped(confined: ConfinedProcesses) -> None:
    code = "if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0): raise PermissionError"

    ended = confined().do(code)

    assert ended.refused is None
    assert "no-core-dumps" in ended.enforced


def test_what_holds_for_one_thread_of_several_is_not_told(confined: ConfinedProcesses) -> None:
    before = "threading.Thread(target=threading.Event().wait, daemon=True).start()"

    ended = confined(limits=Limits(open_files=64), capabilities=(), before=before).do("pass")

    assert set(ended.enforced) == {"no-core-dumps", "rlimit-open-files"}


def test_what_is_missing_is_told_by_its_word() -> None:
    assert missing((), Limits(open_files=5), frozenset({"network"})) == (
        "rlimit-open-files",
        "no-new-privileges",
        "write-files",
        "read-files",
        "processes",
    )
    assert missing(("no-new-privileges",), Limits(), None) == ()


def test_this_host_tells_what_it_offers() -> None:
    offer = offered()

    assert "no-new-privileges" in offer.enforced
    assert (offer.landlock > 0) == ("landlock-read-files" in offer.enforced)
