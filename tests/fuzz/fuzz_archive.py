"""Looks for archives that crash our reader, or that another reader sees otherwise.

    python tests/fuzz/fuzz_archive.py FOLDER [-max_total_time=300]

It begins with the seeds in `corpus`; new ones are kept in FOLDER. What it finds is a file that
belongs into `corpus`, where the tests replay it. Flags are those of libFuzzer.
"""

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))
with atheris.instrument_imports(include=["cloacina_registry.wheel"]):
    from support.archives import judged


def main() -> None:
    """Fuzz until the flags say enough, or something is found."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    arguments = [sys.argv[0], str(folder), str(HERE / "corpus"), "-max_len=4096", *sys.argv[2:]]
    atheris.Setup(arguments, lambda data: judged(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
