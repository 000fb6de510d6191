"""`python -m cloacina_core.cli.lent PARENT WORDS...`: a command with credentials that were lent.

It ends with the process that lent them, so that nobody goes on with them: when that is asked to
end, as it passes that on, and on Linux also when it is killed.
"""

import sys
from collections.abc import Sequence

from cloacina_core.cli import main


def run(parent: int, words: Sequence[str]) -> None:
    """Do a command.

    Args:
        parent: the id of the process that lends the credentials.
        words: the command and its arguments.
    """
    if sys.platform == "linux":
        from cloacina_core.worker.processes import die_with_parent  # noqa: PLC0415 - Linux alone

        die_with_parent(parent)
    main(words, prog_name="cloacina")


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2:])
