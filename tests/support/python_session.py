"""Runs pieces of Python that come on standard input, one after another, in one `__main__`.

Each line in is a JSON object with `text`, `file` and `line`; each line out one with `printed` and
`error`, which is null or a traceback.
"""

import contextlib
import io
import json
import os
import sys
import traceback
import types


def main() -> None:
    """Answer until there are no more pieces."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what child processes print must not get between the answers
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        sys.path.insert(0, "")
        for line in sys.stdin:
            answers.write(f"{json.dumps(run(json.loads(line), vars(module)))}\n")
            answers.flush()


def run(piece: dict[str, object], namespace: dict[str, object]) -> dict[str, str | None]:
    """Run one piece. Its lines are numbered as on its page."""
    printed, error = io.StringIO(), None
    padding = "\n" * (int(str(piece["line"])) - 1)
    try:
        code = compile(f"{padding}{piece['text']}", str(piece["file"]), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
    except BaseException:  # noqa: BLE001 - whatever it raises, the page is wrong
        error = traceback.format_exc()
    return {"printed": printed.getvalue(), "error": error}


if __name__ == "__main__":
    main()
