"""The ledger of shared slots, with engines whose lines arrive late and in any order of engines."""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloacina_core.model.shares import capacity, shares
from cloacina_core.model.slot_ledger import Demand, SlotLedger

SLOTS = 6
NAMES = "abcd"


@dataclass
class Engine:
    """An engine that goes by what it is told, as soon as it reads that."""

    slots: int = 0
    running: int = 0
    ready: int = 0
    told: deque[int] = field(default_factory=deque)
    says: deque[Demand] = field(default_factory=deque)

    def tell(self) -> None:
        self.says.append(Demand(self.slots, self.running, self.running + self.ready))

    def fill(self) -> None:
        started = max(0, min(self.ready, self.slots - self.running))
        self.running, self.ready = self.running + started, self.ready - started
        self.tell()


class Shared(RuleBasedStateMachine):
    """A ledger, engines, and lines between them on which messages wait."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SlotLedger(SLOTS)
        self.engines: dict[str, Engine] = {}
        self.most: dict[str, int | None] = {}

    def tell_news(self) -> None:
        for name, slots in self.ledger.news().items():
            self.engines[name].told.append(slots)

    @rule(name=st.sampled_from(NAMES), most=st.none() | st.integers(1, SLOTS))
    def begin(self, name: str, most: int | None) -> None:
        if name not in self.engines:
            self.ledger.join(name, most)
            self.engines[name], self.most[name] = Engine(), most

    @rule(name=st.sampled_from(NAMES))
    def die(self, name: str) -> None:
        if self.engines.pop(name, None) is not None:
            self.ledger.leave(name)
            self.tell_news()

    @rule(name=st.sampled_from(NAMES), most=st.none() | st.integers(1, SLOTS))
    def limit(self, name: str, most: int | None) -> None:
        if name in self.engines:
            self.most[name] = most
        self.ledger.limit(name, most)
        self.tell_news()

    @precondition(lambda self: self.engines)
    @rule(data=st.data(), tasks=st.integers(1, 9))
    def submit(self, data: st.DataObject, tasks: int) -> None:
        engine = self.engines[data.draw(st.sampled_from(sorted(self.engines)))]
        engine.ready += tasks
        engine.fill()

    @precondition(lambda self: any(one.running for one in self.engines.values()))
    @rule(data=st.data())
    def end_a_task(self, data: st.DataObject) -> None:
        busy = sorted(name for name, one in self.engines.items() if one.running)
        engine = self.engines[data.draw(st.sampled_from(busy))]
        engine.running -= 1
        engine.fill()

    def hear(self, name: str) -> None:
        self.ledger.hear(name, self.engines[name].says.popleft())
        self.tell_news()

    def obey(self, name: str) -> None:
        engine = self.engines[name]
        engine.slots = engine.told.popleft()
        engine.fill()

    @precondition(lambda self: any(one.says for one in self.engines.values()))
    @rule(data=st.data())
    def a_line_of_an_engine_arrives(self, data: st.DataObject) -> None:
        self.hear(data.draw(st.sampled_from(sorted(n for n, e in self.engines.items() if e.says))))

    @precondition(lambda self: any(one.told for one in self.engines.values()))
    @rule(data=st.data())
    def a_line_to_an_engine_arrives(self, data: st.DataObject) -> None:
        self.obey(data.draw(st.sampled_from(sorted(n for n, e in self.engines.items() if e.told))))

    @rule()
    def all_lines_arrive(self) -> None:
        while True:
            for name, engine in self.engines.items():
                if engine.says:
                    self.hear(name)
                if engine.told:
                    self.obey(name)
            if not any(one.says or one.told for one in self.engines.values()):
                break
        wanted = {}
        for name, engine in self.engines.items():
            asked, most = engine.running + engine.ready, self.most[name]
            wanted[name] = asked if most is None else min(asked, most)
        fair = shares(SLOTS, wanted)
        free = capacity(SLOTS, wanted) - sum(
            max(one.running, one.slots) for one in self.engines.values()
        )
        for name, engine in self.engines.items():
            # What it hasn't, others still use who were told to use less.
            assert engine.slots >= fair[name] or free <= 0
            if engine.slots > fair[name]:
                assert all(one.slots >= fair[other] for other, one in self.engines.items())

    @invariant()
    def there_are_never_more_at_work_than_slots(self) -> None:
        # Each that wants any has one, so there may be as many as engines.
        running = sum(one.running for one in self.engines.values())
        assert running <= max(SLOTS, len(self.engines))

    @invariant()
    def an_engine_is_told_one_thing_at_a_time(self) -> None:
        assert all(len(one.told) <= 1 for one in self.engines.values())


TestShared = Shared.TestCase
TestShared.settings = settings(max_examples=30, stateful_step_count=40)


def test_what_isnt_wanted_by_others_is_left_to_whoever_has_it() -> None:
    ledger = SlotLedger(4)
    ledger.join("a", None)
    ledger.hear("a", Demand(0, 0, 9))
    first = ledger.news()
    ledger.hear("a", Demand(4, 4, 0))

    assert first == {"a": 4}
    assert ledger.news() == {}


def test_a_slot_is_given_only_once_it_isnt_used_any_more() -> None:
    ledger = SlotLedger(2)
    for name in ("a", "b"):
        ledger.join(name, None)
    ledger.hear("a", Demand(0, 0, 9))
    ledger.news()
    ledger.hear("a", Demand(2, 2, 9))
    ledger.hear("b", Demand(0, 0, 1))

    asked_back = ledger.news()
    ledger.hear("a", Demand(1, 2, 9))
    still_used = ledger.news()
    ledger.hear("a", Demand(1, 1, 9))

    assert asked_back == {"a": 1}
    assert still_used == {}
    assert ledger.news() == {"b": 1}


def test_an_engine_that_is_gone_leaves_its_slots_to_others() -> None:
    ledger = SlotLedger(2)
    for name in ("a", "b"):
        ledger.join(name, None)
        ledger.hear(name, Demand(0, 0, 9))
    ledger.news()
    ledger.hear("b", Demand(1, 1, 9))

    ledger.leave("a")

    assert ledger.news() == {"b": 2}


def test_what_an_engine_said_before_it_heard_frees_nothing() -> None:
    ledger = SlotLedger(4)
    for name in ("a", "b"):
        ledger.join(name, None)
    ledger.hear("a", Demand(0, 0, 9))
    ledger.news()
    ledger.hear("a", Demand(4, 4, 9))
    ledger.hear("b", Demand(0, 0, 9))
    asked_back = ledger.news()
    ledger.hear("a", Demand(4, 2, 9))  # it may begin two more before it reads what it was told

    assert asked_back == {"a": 2}
    assert ledger.news() == {}


def test_a_lower_limit_holds_also_when_nobody_else_wants_any() -> None:
    ledger = SlotLedger(4)
    ledger.join("a", None)
    ledger.hear("a", Demand(0, 0, 9))
    ledger.news()
    ledger.hear("a", Demand(4, 4, 9))

    ledger.limit("a", 1)

    assert ledger.news() == {"a": 1}


def test_what_more_tenants_had_than_there_are_slots_is_asked_back() -> None:
    ledger = SlotLedger(1)
    for name in ("a", "b"):
        ledger.join(name, None)
        ledger.hear(name, Demand(0, 0, 1))
    both = ledger.news()
    for name in ("a", "b"):
        ledger.hear(name, Demand(1, 1, 1))

    ledger.hear("b", Demand(1, 0, 0))

    assert both == {"a": 1, "b": 1}
    assert ledger.news() == {"b": 0}
