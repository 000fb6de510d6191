"""`python -m cloacina_core` is the `cloacina` command."""

from cloacina_core.cli import main

if __name__ == "__main__":
    main(prog_name="cloacina")
