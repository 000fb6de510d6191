"""The tests that every blob store must pass, for its maker to derive from.

    class TestFolderStore(BlobStoreContract):
        def opener(self, place: Path) -> Callable[[], BlobStore]:
            return partial(FolderStore, place / "blobs")

        def damage(self, place: Path, digest: Digest) -> None:
            (place / "blobs" / digest).write_bytes(b"other bytes")

        @contextmanager
        def out_of_space(self, place: Path) -> Iterator[None]:
            ...

pytest tells more about a broken promise when `conftest.py` says
`pytest.register_assert_rewrite("cloacina_core.testing.blob_store_contract")` before the import.
"""
# ruff: noqa: S101, D102 - assertions are what tests are made of; their names say what they claim

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from cloacina_core.errors import (
    BlobDamagedError,
    BlobMissingError,
    CloacinaError,
    StoreUnavailableError,
)
from cloacina_core.foundation.clock import EPOCH
from cloacina_core.foundation.digest import Digest, digest_of
from cloacina_core.plugin import BlobStore

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

Opener: TypeAlias = Callable[[], BlobStore]

DATA = b"the bytes of a wheel"
OTHER = b"the bytes of another"
LARGE = bytes(range(256)) * (8 * 1024 * 1024 // 256)
"""8 MiB: more than one packet, one page or one chunk of anything."""

THREADS = 8
PROCESSES = 2
ROUNDS = 4


class BlobStoreContract:
    """What a store of blobs promises to those who keep bytes there."""

    patience_seconds: ClassVar[float] = 60.0
    """How long to wait for a process before the store counts as broken."""

    def opener(self, place: Path) -> Opener:
        """Return what opens the store of a place, empty at first: anew each time it is called.

        It is handed to other processes, so that it has to be a function or a class that can be
        imported by name, or a `functools.partial` of one.

        Args:
            place: an empty folder of this test's own. A store that is elsewhere takes a part of
                its name for its own.
        """
        raise NotImplementedError("a suite for a blob store says how to open one")

    def damage(self, place: Path, digest: Digest) -> None:
        """Change the stored bytes of a digest behind the store's back."""
        raise NotImplementedError("a suite for a blob store says how to damage it")

    def out_of_space(self, place: Path) -> AbstractContextManager[None]:
        """Have 8 MiB not fit into the store, until the block ends."""
        raise NotImplementedError("a suite for a blob store says how it runs out of space")

    def test_bytes_come_back_by_their_digest(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()

        digest = store.put(DATA)

        assert digest == "sha256:31058bb3386565f0923e41c6941e94a06b31cbcfb5e6e66430805b94b45f55ca"
        assert store.has(digest)
        assert store.get(digest) == DATA

    def test_what_was_never_put_is_missing(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        store.put(OTHER)

        with _refused(BlobMissingError) as caught:
            store.get(digest_of(DATA))

        assert not store.has(digest_of(DATA))
        assert isinstance(caught[0], BlobMissingError)
        assert caught[0].digest == digest_of(DATA)

    def test_no_bytes_are_bytes_too(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()

        digest = store.put(b"")

        assert store.get(digest) == b""
        assert [blob.size for blob in store.blobs()] == [0]

    def test_many_bytes_come_back_whole(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()

        digest = store.put(LARGE)

        assert store.get(digest) == LARGE

    def test_bytes_outlive_the_object_that_put_them(self, tmp_path: Path) -> None:
        opener = self.opener(tmp_path)
        digest = opener().put(DATA)

        assert opener().get(digest) == DATA

    def test_putting_the_same_bytes_again_changes_nothing(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        first = store.put(DATA)

        again = store.put(DATA)

        assert again == first
        assert store.get(first) == DATA
        assert [blob.digest for blob in store.blobs()] == [first]

    def test_putting_the_same_bytes_again_makes_them_young(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        store.put(DATA)
        (before,) = store.blobs()
        store.put(OTHER)

        store.put(DATA)

        put_at = {blob.digest: blob.put_at for blob in store.blobs()}
        assert put_at[digest_of(DATA)] >= put_at[digest_of(OTHER)] >= before.put_at

    def test_changed_bytes_are_never_handed_out(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        digest = store.put(DATA)

        self.damage(tmp_path, digest)

        with _refused(BlobDamagedError):
            store.get(digest)

    def test_putting_the_bytes_again_mends_them(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        digest = store.put(DATA)
        self.damage(tmp_path, digest)

        store.put(DATA)

        assert store.get(digest) == DATA

    def test_deleted_bytes_are_gone(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        digest, kept = store.put(DATA), store.put(OTHER)

        store.delete(digest)

        assert not store.has(digest)
        assert store.get(kept) == OTHER
        assert [blob.digest for blob in store.blobs()] == [kept]
        with _refused(BlobMissingError):
            store.get(digest)

    def test_deleting_what_is_not_there_changes_nothing(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        digest, kept = store.put(DATA), store.put(OTHER)
        store.delete(digest)

        store.delete(digest)

        assert store.has(kept)

    def test_deleted_bytes_can_be_put_again(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        store.delete(store.put(DATA))

        digest = store.put(DATA)

        assert store.get(digest) == DATA

    def test_everything_that_is_stored_is_listed(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        sizes = {store.put(data): len(data) for data in (DATA, OTHER, b"", LARGE)}

        listed = list(store.blobs())

        assert {blob.digest: blob.size for blob in listed} == sizes
        assert len(listed) == len(sizes)
        for blob in listed:
            assert blob.put_at.utcoffset() == timedelta(0)
            assert blob.put_at > EPOCH

    def test_an_empty_store_lists_nothing(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()

        assert list(store.blobs()) == []

    def test_a_put_that_fails_leaves_nothing_that_can_be_read(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        kept = store.put(DATA)

        with self.out_of_space(tmp_path), _refused(StoreUnavailableError):
            store.put(LARGE)

        assert [blob.digest for blob in store.blobs()] == [kept]
        assert not store.has(digest_of(LARGE))
        with _refused(BlobMissingError):
            store.get(digest_of(LARGE))

    def test_a_put_that_failed_can_be_done_again(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        with self.out_of_space(tmp_path), _refused(StoreUnavailableError):
            store.put(LARGE)

        digest = store.put(LARGE)

        assert store.get(digest) == LARGE

    def test_removing_drafts_leaves_what_was_stored(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        digest = store.put(DATA)
        (blob,) = store.blobs()

        count = store.remove_drafts(blob.put_at + timedelta(days=365))

        assert count == 0
        assert store.get(digest) == DATA

    def test_threads_may_put_the_same_bytes_at_once(self, tmp_path: Path) -> None:
        opener = self.opener(tmp_path)
        opener()
        start = threading.Barrier(THREADS)

        def put(_number: int) -> Digest:
            store = opener()
            start.wait(self.patience_seconds)
            return store.put(LARGE)

        with ThreadPoolExecutor(THREADS) as threads:
            digests = set(threads.map(put, range(THREADS)))

        assert digests == {digest_of(LARGE)}
        assert opener().get(digest_of(LARGE)) == LARGE
        assert [blob.digest for blob in opener().blobs()] == [digest_of(LARGE)]

    def test_threads_may_share_a_store(self, tmp_path: Path) -> None:
        store = self.opener(tmp_path)()
        values = [b"%d" % number for number in range(THREADS)]

        with ThreadPoolExecutor(THREADS) as threads:
            digests = list(threads.map(store.put, values))
            found = list(threads.map(store.get, digests))

        assert found == values

    def test_bytes_are_there_whole_or_not_at_all(self, tmp_path: Path) -> None:
        opener = self.opener(tmp_path)
        reader, writer = opener(), opener()
        digest = digest_of(LARGE)
        is_over = threading.Event()

        def put_and_delete() -> None:
            for _ in range(ROUNDS):
                writer.put(LARGE)
                writer.delete(digest)
            is_over.set()

        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(put_and_delete)
            while not is_over.is_set() and not writing.done():
                try:
                    assert reader.get(digest) == LARGE
                except BlobMissingError:
                    continue  # what is damaged would be another error
            writing.result()

        assert not reader.has(digest)

    def test_what_one_process_puts_another_can_get(self, tmp_path: Path) -> None:
        opener = self.opener(tmp_path)
        opener()

        answers = _in_processes(opener, PROCESSES, self.patience_seconds)

        assert answers == [digest_of(LARGE)] * PROCESSES
        assert opener().get(digest_of(LARGE)) == LARGE
        assert [blob.digest for blob in opener().blobs()] == [digest_of(LARGE)]


@contextmanager
def _refused(error: type[CloacinaError]) -> Iterator[list[CloacinaError]]:
    """Expect an error, and put it into the list that is yielded."""
    caught: list[CloacinaError] = []
    try:
        yield caught
    except error as found:
        caught.append(found)
    assert caught, f"{error.__name__} wasn't raised"


def _in_processes(opener: Opener, count: int, seconds: float) -> list[str]:
    """Have processes put the same bytes at once, and return what each of them answers."""
    # Spawned: a fork would copy connections and locks that the store holds here.
    context = multiprocessing.get_context("spawn")
    answers: Queue[str] = context.Queue()
    start = context.Barrier(count)
    processes = [
        context.Process(target=_put_at_the_signal, args=(opener, start, answers, seconds))
        for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        return [answers.get(timeout=seconds) for _ in processes]
    finally:
        for process in processes:
            process.join(seconds)


def _put_at_the_signal(
    opener: Opener, start: threading.Barrier, answers: "Queue[str]", seconds: float
) -> None:
    store = opener()
    start.wait(seconds)
    try:
        answers.put(store.put(LARGE))
    except CloacinaError as error:
        answers.put(f"{type(error).__name__}: {error}")
