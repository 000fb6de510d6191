"""What a task reads and writes: the JSON that tasks hand on, the params, and who is asking."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from cloacina_core.errors import ContextValueError, InputError, SecretMissingError
from cloacina_core.foundation.ids import RunId
from cloacina_core.foundation.json_value import JsonValue, NotJsonError, decode, encode
from cloacina_core.foundation.names import instance_name
from cloacina_core.model.child import Child, ChildResult, raise_failed
from cloacina_core.model.release import Release
from cloacina_core.model.secret import WHOLE, part_of
from cloacina_core.model.spilled import Encoded, has_text, text_of
from cloacina_core.model.typed import convert, to_json
from cloacina_core.model.wait import Waits

if TYPE_CHECKING:
    from cloacina_core.model.workflow import Workflow

T = TypeVar("T")

MAX_KEY_LENGTH = 200


class Params(Mapping[str, Any]):
    """A run's params, read-only: `params["day"]` and `params.day` are the same.

    When the workflow declares its params with a dataclass or TypedDict, the values have the types
    declared there.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(self._values) or "none"
            raise AttributeError(f"there is no param {name!r}; params are: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Params({self._values!r})"


def _never() -> bool:
    return False


def no_secret(name: str, _field: str | None = None) -> str:
    """Know no secret: there is no store."""
    raise SecretMissingError(
        f"there is no secret {name!r} outside of a run",
        hint="give it to the test: Context(secrets={...}) or run_workflow(..., secrets={...})",
    )


def _given_secret(
    secrets: Mapping[str, str | Mapping[str, str]], name: str, field: str | None = None
) -> str:
    if name not in secrets:
        return no_secret(name)
    given = secrets[name]
    return part_of(name, {WHOLE: given} if isinstance(given, str) else given, field)


def no_child(run_id: RunId) -> ChildResult:
    """Read no run: there is no store."""
    raise RuntimeError(f"run {run_id} can't be read outside of a run")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """Which attempt of which task of which run a context belongs to."""

    run_id: str = "local"
    workflow: str = ""
    task: str = ""
    index: int | None = None
    """Of the instance, counted from 0; None unless the task is mapped."""
    attempt: int = 1
    """Counted from 1."""
    deadline: datetime | None = None
    """When the attempt is given up; aware, UTC."""
    release: Release | None = None
    """What the workflow was resolved to; None for a workflow that isn't packaged."""
    cancelled: Callable[[], bool] = _never
    waits: Waits | None = None
    """How the task waits; None outside of a run."""
    child: Callable[[RunId], ChildResult] = no_child
    """Reads a run that the task asked for and that has ended."""
    secret: Callable[[str, str | None], str] = no_secret
    """Returns the value of a secret that the workflow declares, or of one of its fields."""

    @property
    def idempotency_token(self) -> str:
        """The same for every attempt of this task of this run: give it to outside services."""
        if self.index is None:
            return f"{self.run_id}/{self.task}"
        return f"{self.run_id}/{instance_name(self.task, self.index)}"


_NO_ITEM: JsonValue = object()


def _child_of(
    what: "str | Workflow",
    params: Mapping[str, Any] | None,
    context: Mapping[str, JsonValue] | None,
) -> Child:
    """Return what a task asks for as data.

    Raises:
        InputError: it can't be asked for.
    """
    name = what if isinstance(what, str) else getattr(what, "name", None)
    if not isinstance(name, str):
        raise InputError(
            f"{what!r:.80} can't be run", hint="give a reference, or a Workflow object"
        )
    return Child(
        reference=name,
        fingerprint=None if isinstance(what, str) else what.definition().fingerprint,
        params=_encoded(params, "params"),
        context=_encoded(context, "context"),
    )


def _encoded(values: Mapping[str, Any] | None, where: str) -> str | None:
    if values is None:
        return None
    try:
        return encode(to_json(dict(values)), where=where)
    except NotJsonError as error:
        raise ContextValueError(error.path, error.reason) from None


def _checked_key(key: object) -> str:
    """Return a key as a plain string, without the class that a StrEnum or its like gave it."""
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH:
        raise ContextValueError(
            f"{key!r:.80}", f"a key is a string of 1 to {MAX_KEY_LENGTH} characters"
        )
    try:
        encode(key)
    except NotJsonError as error:
        raise ContextValueError(f"{key!r:.80}", error.reason) from None
    return str.__str__(key)


class Context(MutableMapping[str, JsonValue]):
    """JSON values by key, as the tasks before left them. What a task changes here is handed on.

    A plain `Context({"rows": []})` is enough to call a task's function in a test, and
    `Context(item="a.csv")` to call that of a mapped task.
    """

    __slots__ = ("_gone", "_item", "_set", "_texts", "_values", "info", "params")

    def __init__(
        self,
        values: Mapping[str, JsonValue] | None = None,
        *,
        params: Mapping[str, Any] | None = None,
        info: TaskInfo | None = None,
        item: JsonValue = _NO_ITEM,
        index: int | None = None,
        secrets: Mapping[str, str | Mapping[str, str]] | None = None,
    ) -> None:
        """Make a context, as tests do.

        Args:
            values: what the tasks before left.
            params: of the run.
            info: whose context it is.
            item: what the instance of a mapped task is for.
            index: where in the list the item stands; 0 unless told.
            secrets: the values of secrets, by name; of those with fields, by field.
        """
        self.params = params if isinstance(params, Params) else Params(params or {})
        self.info = info or TaskInfo()
        self._item = item
        if item is not _NO_ITEM and (index is not None or self.info.index is None):
            self.info = replace(self.info, index=index or 0)
        if secrets is not None:
            self.info = replace(self.info, secret=partial(_given_secret, dict(secrets)))
        self._texts: dict[str, Encoded] = {}
        self._values: dict[str, JsonValue] = {}
        self._gone: set[str] = set()
        self._set: set[str] = set()
        for key, value in (values or {}).items():
            self[key] = value

    @classmethod
    def of_texts(
        cls,
        texts: Mapping[str, Encoded],
        *,
        params: Mapping[str, Any],
        info: TaskInfo,
        item: str | None = None,
    ) -> "Context":
        """Return a context over encoded values, decoded when they are first asked for."""
        context = cls(params=params, info=info, item=_NO_ITEM if item is None else decode(item))
        context._texts.update(texts)
        return context

    def changes(self) -> dict[str, str | None]:
        """Return what was changed: encoded values by key, None for a key that was deleted.

        A value that was only read, or set to what it was, is not a change; one that was mutated in
        place is. In an instance of a mapped task, whatever was set is: it is the instance's part
        of a list, and what others had there before is no part of that.

        Raises:
            ContextValueError: a value can't be stored as JSON.
        """
        changed: dict[str, str | None] = dict.fromkeys(self._gone & self._texts.keys())
        is_instance = self.info.index is not None
        for key, value in self._values.items():
            try:
                text = encode(value, where=key, depth=int(is_instance))  # it goes into a list
            except NotJsonError as error:
                raise ContextValueError(error.path, error.reason) from None
            before = self._texts.get(key)
            is_same = before is not None and has_text(before, text)
            if not is_same or (is_instance and key in self._set):
                changed[key] = text
        return changed

    def __getitem__(self, key: str) -> JsonValue:
        if key in self._values:
            return self._values[key]
        if key in self._gone or key not in self._texts:
            raise KeyError(key)
        text = self._texts[key] = text_of(self._texts[key])
        value = self._values[key] = decode(text)
        return value

    def __setitem__(self, key: str, value: JsonValue) -> None:
        key = _checked_key(key)
        self._values[key] = value
        self._set.add(key)
        self._gone.discard(key)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._values.pop(key, None)
        self._set.discard(key)
        self._gone.add(key)

    def __contains__(self, key: object) -> bool:
        return key in self._values or (key in self._texts and key not in self._gone)

    def __iter__(self) -> Iterator[str]:
        yield from [key for key in self._texts if key not in self._gone]
        yield from [key for key in self._values if key not in self._texts]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def get(self, key: str, default: Any = None) -> Any: ...
    @overload
    def get(self, key: str, default: Any = None, *, type: type[T]) -> T: ...
    def get(self, key: str, default: Any = None, *, type: Any = None) -> Any:  # noqa: A002
        """Return the value of a key, or `default` without it.

        Args:
            key: the key.
            default: what to return when there is no such key; it is not checked.
            type: a type such as `list[Row]`, with `Row` a dataclass or TypedDict; the value is
                validated and converted to it. A converted value is a copy.

        Raises:
            ContextValueError: the value isn't of that type; the message tells every fault.
        """
        try:
            value = self[key]
        except KeyError:
            return default
        if type is None:
            return value
        converted, problems = convert(value, type, key)
        if problems:
            raise ContextValueError(key, "; ".join(map(str, problems)))
        return converted

    @property
    def item(self) -> Any:
        """The element of the list that this instance of a mapped task is for.

        Raises:
            AttributeError: the task isn't mapped.
        """
        if self._item is _NO_ITEM:
            raise AttributeError(f"task {self.task!r} isn't mapped: there is no item")
        return self._item

    @property
    def index(self) -> int:
        """Where the item stands in the list, counted from 0.

        Raises:
            AttributeError: the task isn't mapped.
        """
        if self.info.index is None:
            raise AttributeError(f"task {self.task!r} isn't mapped: there is no index")
        return self.info.index

    def item_as(self, kind: type[T]) -> T:
        """Return the item validated as a type such as a dataclass or TypedDict, and converted.

        Raises:
            ContextValueError: it isn't of that type; the message tells every fault.
        """
        converted, problems = convert(self.item, kind, "item")
        if problems:
            raise ContextValueError("item", "; ".join(map(str, problems)))
        return cast(T, converted)

    def params_as(self, kind: type[T]) -> T:
        """Return the params as the dataclass or TypedDict that the workflow declares them with."""
        return kind(**self.params)

    @property
    def run_id(self) -> str:
        """The id of the run; `local` outside of one."""
        return self.info.run_id

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.info.task

    @property
    def attempt(self) -> int:
        """The number of the attempt, counted from 1."""
        return self.info.attempt

    @property
    def deadline(self) -> datetime | None:
        """When the attempt is given up (aware, UTC), or None."""
        return self.info.deadline

    @property
    def release(self) -> Release | None:
        """The release that the run is pinned to; None when the workflow isn't packaged."""
        return self.info.release

    @property
    def idempotency_token(self) -> str:
        """The same for every attempt of this task of this run: give it to outside services."""
        return self.info.idempotency_token

    def cancelled(self) -> bool:
        """Whether the attempt is to end (cancel, deadline): a long task should stop then."""
        return self.info.cancelled()

    def secret(self, name: str, *, field: str | None = None) -> str:
        """Return the value of a secret that the workflow declares: `Workflow(..., secrets=[...])`.

        It is taken out of what the attempt prints, logs and fails with. It must not be handed on:
        an attempt that puts it into the context, or gives it to another run, fails.

        Args:
            name: as the operator set it, with `cloacina secret set`.
            field: which of its fields, when it has some, as `"password"`.

        Raises:
            CloacinaError: the workflow doesn't declare it (`secret-not-declared`), nobody has set
                it (`secret-missing`), it has no such field, or has fields and none was named
                (`secret-field-missing`), or it can't be opened now (`secret-unavailable`).
        """
        return self.info.secret(name, field)

    def sleep(self, duration: timedelta) -> None:
        """Wait without taking a slot: the task is called again from its beginning afterwards.

        What stands before a wait is run again each time. Waits that are over are passed at once,
        so a sleep doesn't begin anew. They belong to the attempt: one that follows a failure waits
        again, one that follows the loss of an engine doesn't.
        """
        self._waits.sleep(duration)

    def sleep_until(self, moment: datetime) -> None:
        """Wait as `sleep` does, until an aware moment; of two calls, the first one's counts."""
        self._waits.sleep_until(moment)

    def wait_until(
        self,
        condition: Callable[[], object],
        *,
        every: timedelta,
        timeout: timedelta | None = None,
    ) -> None:
        """Wait as `sleep` does, until a function returns something true.

        Args:
            condition: a plain function without arguments, called at once and then once in a while.
                What it raises fails the attempt.
            every: how long to wait before it is called again.
            timeout: how long to wait in all; None for ever.

        Raises:
            WaitTimeoutError: it took longer. It can be caught.
        """
        self._waits.wait_until(condition, every, timeout)

    def wait_for(self, signal: str, *, timeout: timedelta | None = None) -> JsonValue:
        """Wait as `sleep` does, until somebody sends the run a signal, and return what it carries.

        A signal that came before is taken at once. Each one is taken by one wait only, the oldest
        first.

        Args:
            signal: the name of the signal, as `approval`.
            timeout: how long to wait; None for ever.

        Raises:
            WaitTimeoutError: it didn't come. It can be caught.
        """
        return self._waits.wait_for(signal, timeout)

    def wait_for_event(
        self,
        name: str,
        *,
        where: Mapping[str, Any] | None = None,
        timeout: timedelta | None = None,
    ) -> JsonValue:
        """Wait as `sleep` does, until an event is sent that fits, and return what it carries.

        It is the first one that is sent after the task began to wait, with `cloacina event send` or
        `Runtime.sent_events`. Other runs that wait for it go on with it, too. Of two waits for
        events of one name, the second one gets a later event.

        Args:
            name: of the event, as `orders.paid`.
            where: a condition on what it carries, as `{"order": 17}` or
                `{"order.total": {">=": 100}}`; None: any event of the name.
            timeout: how long to wait; None for ever.

        Raises:
            InputError: the name or the condition can't be used.
            WaitTimeoutError: it wasn't sent. It can be caught.
        """
        return self._waits.wait_for_event(name, where, timeout)

    @overload
    def run_workflow(
        self,
        what: "str | Workflow",
        params: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        wait: Literal[True] = True,
    ) -> ChildResult: ...
    @overload
    def run_workflow(
        self,
        what: "str | Workflow",
        params: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        wait: Literal[False],
    ) -> RunId: ...
    def run_workflow(
        self,
        what: "str | Workflow",
        params: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, JsonValue] | None = None,
        wait: bool = True,
    ) -> ChildResult | RunId:
        """Run another workflow, wait for its end as `sleep` does, and return its result.

        The run is begun once in the attempt, whatever happens to engines. It is cancelled, paused
        and resumed together with this one.

        Args:
            what: a reference such as `acme-etl/clean==1.*`; the name of another workflow of this
                one's release, or of one that the runtime was opened with; or such a workflow.
            params: the run's params; checked against the workflow's schema, defaults filled.
            context: values that its first tasks see.
            wait: False begins the run and returns its id; it goes on by itself then.

        Raises:
            ChildRunError: it failed, was cancelled, or can't begin. It can be caught.
        """
        asked = _child_of(what, params, context)
        if not wait:
            return self._begin([asked])[0]
        return self._run_all([asked])[0]

    def run_workflows(
        self, runs: "Iterable[tuple[str | Workflow, Mapping[str, Any] | None]]"
    ) -> list[ChildResult]:
        """Run several workflows at a time, wait for the end of all, and return their results.

        If one of them can't begin, none of them does.

        Args:
            runs: what to run, each with its params; see `run_workflow`.

        Raises:
            ChildRunError: one failed, was cancelled or can't begin: the first of them. It is raised
                when all have ended.
        """
        asked = [_child_of(what, params, None) for what, params in runs]
        return self._run_all(asked) if asked else []

    def _run_all(self, asked: list[Child]) -> list[ChildResult]:
        ended = self._waits.run(asked, is_detached=False)
        raise_failed(ended)
        return [self.info.child(child.run_id) for child in ended if child.run_id is not None]

    def _begin(self, asked: list[Child]) -> list[RunId]:
        begun = self._waits.run(asked, is_detached=True)
        raise_failed(begun)
        return [child.run_id for child in begun if child.run_id is not None]

    @property
    def _waits(self) -> Waits:
        if self.info.waits is None:
            raise RuntimeError(
                "only a run can wait: test it with cloacina_core.testing.run_workflow"
            )
        return self.info.waits

    def to_dict(self) -> dict[str, JsonValue]:
        """Return all values as a new dict."""
        return {key: self[key] for key in self}

    def __repr__(self) -> str:
        return f"Context({self.to_dict()!r})"
