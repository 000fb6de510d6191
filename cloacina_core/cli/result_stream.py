"""Standard output for results alone, in a command that runs tasks in its process.

Tasks share the descriptors of their process: what a program prints that one of them starts, what
is written to descriptor 1, and what is left to be called at exit would stand amid the result.
"""

import os
import sys
from typing import TextIO

_OUTPUT, _ERRORS = 1, 2


def take_output() -> TextIO | None:
    """Return a stream to what is standard output, and have all else go to standard error instead.

    That holds until the process ends. None, and nothing changes, where standard output isn't that
    of the process: a program has called the command.
    """
    try:
        if sys.stdout.fileno() != _OUTPUT:
            return None
    except (OSError, ValueError):  # it has no descriptor, or is closed
        return None
    sys.stdout.flush()
    own = os.dup(_OUTPUT)
    os.dup2(_ERRORS, _OUTPUT)
    return os.fdopen(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
