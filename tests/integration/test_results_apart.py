"""`cloacina run --json` prints one document, whatever tasks in its process print by any way."""

import os
from pathlib import Path

from click.testing import CliRunner
from support.distributions import install
from support.shell import Shell

from cloacina_core.cli import main

FLOWS = """
import _thread, atexit, logging, os, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from cloacina_core import Context, Workflow

VALUE = "correct horse battery staple"
leak = Workflow("leak", secrets=["canary"])

@leak.task
def speak(context: Context) -> None:
    value = context.secret("canary")
    print("printed", value)
    threading.Thread(target=print, args=("thread", value)).start()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: logging.getLogger("x").error("pool %s", value), range(2)))
    spoke = threading.Event()
    _thread.start_new_thread(lambda: (print("stranger", value), spoke.set()), ())
    spoke.wait(60)
    os.write(1, b"written\\n")
    subprocess.run([sys.executable, "-c", "print('a program')"], check=True)
    atexit.register(print, "at exit", value)
"""
VALUE = "correct horse battery staple"


def test_the_result_stands_alone(tmp_path: Path):
    site = tmp_path / "site"
    install(
        site,
        "leaky",
        modules={"leaky.py": FLOWS},
        entry_points={"cloacina.workflows": {"leak": "leaky:leak"}},
    )
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    shell = Shell(tmp_path, tmp_path / "home", {"PYTHONPATH": path})
    shell.home.mkdir(mode=0o700)
    secrets = CliRunner().invoke(
        main, ["secret", "set", "canary", "--home", str(shell.home)], input=f"{VALUE} \n"
    )
    assert secrets.exit_code == 0, secrets.output

    done = shell.run("run", "leaky/leak", "--json", "-q")
    logs = (
        CliRunner()
        .invoke(main, ["runs", "logs", done.json["run_id"], "--home", str(shell.home)])
        .output
    )

    assert done.json["status"] == "succeeded"
    assert set(done.err.splitlines()) >= {
        *("written", "a program", "stranger [secret canary]", "at exit [secret canary]"),
    }
    for line in ("printed", "thread", "x: pool"):
        assert f"{line} [secret canary]" in logs
    assert VALUE not in done.out + done.err + logs
