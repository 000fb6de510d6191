"""Whatever a task does, it is its own attempt that fails; or its run is given up in the end."""

from collections.abc import Callable

import pytest
from support.faults.engines import FORKS, Place
from support.faults.zoo import FATAL, NEIGHBOUR, SURVIVED, be_killed, visit
from support.runs import PATIENCE, open_runtime

from cloacina_core.engine.run_state import MAX_ENGINE_DEATHS
from cloacina_core.model.run import RunResult
from cloacina_core.model.status import AttemptOutcome, RunStatus

pytestmark = pytest.mark.slow


def run_in_a_process(target: Callable[..., None], *arguments: object) -> int | None:
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    process.join(PATIENCE)
    return process.exitcode


def results(place: Place) -> dict[str, list[RunResult]]:
    with open_runtime(place.home, place.url, recover=False) as runtime:
        found: dict[str, list[RunResult]] = {}
        for summary in runtime.list():
            found.setdefault(summary.workflow, []).append(runtime.get(summary.run_id))
    return found


@pytest.mark.usefixtures("forks")
def test_what_a_task_does_to_itself_is_its_own_failure(new_place: Callable[[], Place]):
    place = new_place()

    assert run_in_a_process(visit, place) == 0

    found = results(place)
    for name, (_, error) in SURVIVED.items():
        (result,) = found[name]
        if error is None:
            assert result.status is RunStatus.SUCCEEDED, name
        else:
            assert result.status is RunStatus.FAILED, name
            assert result.error is not None
            assert result.error.type.rpartition(".")[2] == error
    for result in found[NEIGHBOUR]:
        assert result.context == {"done": 1}


def outcomes(result: RunResult, task: str) -> list[AttemptOutcome | None]:
    return [attempt.outcome for attempt in result.tasks[task].attempts]


@pytest.mark.usefixtures("forks")
@pytest.mark.parametrize("new_place", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", FATAL)
def test_what_takes_its_engine_along_is_given_up_after_three(
    new_place: Callable[[], Place], name: str
):
    place = new_place()

    ends = [run_in_a_process(be_killed, place, name) for _ in range(MAX_ENGINE_DEATHS + 1)]

    assert all(ends[:-1])
    assert ends[-1] == 0
    found = results(place)
    (fatal,), (neighbour,) = found[name], found[NEIGHBOUR]
    assert fatal.error is not None
    assert fatal.error.type == "engine-deaths"
    assert outcomes(fatal, name) == [AttemptOutcome.LOST] * MAX_ENGINE_DEATHS
    assert outcomes(neighbour, NEIGHBOUR)[0] is AttemptOutcome.LOST  # it was there
    assert neighbour.status is RunStatus.SUCCEEDED  # and not given up with the other
