"""Attempts in processes of their own: what the engine's process does, and what the others do.

    engine ─ supervisor ─┬─ zygote ─┬─ keeper ── attempt      one zygote for each environment
                         │          └─ keeper ── attempt      one keeper for each at a time
                         └─ keeper ── attempt                 imports by itself

`inside` is what runs in these processes, and needs the standard library only. `pool` is the
engine's side of them; `runner` and `conversation` are the engine's side of one attempt. Both sides
share `frames`, `channel` and `messages`, in which they speak.
"""
