"""Many runs of one workflow, accepted together."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.runs import PATIENCE, open_runtime

from cloacina_core.errors import IdempotencyConflictError, InputError, ParamsError
from cloacina_core.model.context import Context
from cloacina_core.model.workflow import Workflow
from cloacina_core.runtime import AsyncRuntime, RunHandle, Runtime


@dataclass
class Params:
    number: int


flow = Workflow("squares", params=Params)


@flow.task
def square(context: Context) -> dict[str, int]:
    return {"square": context.params.number**2}


@pytest.fixture
def runtime(tmp_path: Path, store_url: str) -> Iterator[Runtime]:
    with open_runtime(tmp_path, store_url) as runtime:
        yield runtime


def squares(handles: list[RunHandle]) -> list[int]:
    return [handle.result(PATIENCE).context["square"] for handle in handles]


def test_each_of_the_params_gets_a_run_in_order(runtime: Runtime) -> None:
    handles = runtime.submit_many(flow, [{"number": number} for number in range(1200)])

    assert squares(list(handles)) == [number**2 for number in range(1200)]
    assert [handle.id for handle in handles] == sorted(handle.id for handle in handles)


def test_none_is_accepted_when_one_does_not_fit(runtime: Runtime) -> None:
    with pytest.raises(ParamsError) as caught:
        runtime.submit_many(flow, [{"number": 1}, {"number": "two"}])

    assert caught.value.__notes__ == ["these are the params of run 1, counted from 0"]
    assert not runtime.list()


def test_keys_attach_to_the_runs_that_they_made(runtime: Runtime) -> None:
    first = runtime.submit(flow, {"number": 3}, idempotency_key="three")

    handles = runtime.submit_many(
        flow,
        [{"number": 2}, {"number": 3}, {"number": 2}],
        idempotency_keys=["two", "three", "two"],
    )

    assert squares(list(handles)) == [4, 9, 4]
    assert handles[1].id == first.id
    assert handles[0].id == handles[2].id
    assert len(runtime.list()) == 2


def test_a_key_of_another_request_is_a_conflict(runtime: Runtime) -> None:
    runtime.submit(flow, {"number": 3}, idempotency_key="three").result(PATIENCE)

    with pytest.raises(IdempotencyConflictError):
        runtime.submit_many(flow, [{"number": 4}], idempotency_keys=["three"])


def test_each_run_needs_a_key_if_one_has(runtime: Runtime) -> None:
    with pytest.raises(InputError, match="2 runs and 1 idempotency keys"):
        runtime.submit_many(flow, [{"number": 1}, {"number": 2}], idempotency_keys=["one"])


def test_nothing_is_nothing(runtime: Runtime) -> None:
    assert runtime.submit_many(flow, []) == []


async def _submit_from_a_coroutine(runtime: Runtime) -> list[int]:
    handles = await AsyncRuntime(runtime).submit_many(flow, [{"number": 2}, {"number": 3}])
    return [(await handle.result(PATIENCE)).context["square"] for handle in handles]


def test_coroutines_can_do_it_too(runtime: Runtime) -> None:

    assert asyncio.run(_submit_from_a_coroutine(runtime)) == [4, 9]
