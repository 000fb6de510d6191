"""Attempts in processes of their own: what the engine's process does, and what the others do.

    engine ─ supervisor ─┬─ zygote ─┬─ keeper ── attempt      one zygote for each environment
                         │          └─ keeper ── attempt      one keeper for each at a time
                         └─ keeper ── attempt                 imports by itself

`pool`, `conversation` and `runner` are the engine's side. The modules from `bootstrap` to `child`
run in the other processes, and need the standard library only.
"""
