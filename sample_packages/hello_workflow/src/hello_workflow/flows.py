"""The workflow `hello`: compose a greeting, then measure it."""

from dataclasses import dataclass

from cloacina_core import Context, Workflow


@dataclass(frozen=True, kw_only=True)
class Params:
    """What a run may be told."""

    name: str = "world"
    """Whom to greet."""


hello = Workflow("hello", description="Greet somebody", params=Params)


@hello.task()
def compose(context: Context) -> dict[str, object]:
    """Write the greeting."""
    return {"greeting": f"Hello, {context.params.name}!"}


@hello.task(after=[compose])
def measure(context: Context) -> dict[str, object]:
    """Count the characters of the greeting."""
    return {"length": len(context["greeting"])}
