"""Frames are put together however their bytes come, and refused before they take room."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloacina_core.worker.frames import HEADER, FrameError, FrameReader, frame_of

MESSAGES = [{"type": "log", "lines": ["ä" * 10]}, {}, {"n": 1}]
STREAM = b"".join(map(frame_of, MESSAGES))


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_frames_are_read_whatever_the_pieces_are(cuts: list[int]):
    reader = FrameReader(1000)
    ends = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(ends)]

    found = [message for piece in pieces for message in reader.feed(piece)]

    assert found == MESSAGES
    assert not reader.is_amid


def test_half_a_frame_is_known_as_such():
    reader = FrameReader(1000)

    assert list(reader.feed(STREAM[:-1])) == MESSAGES[:-1]
    assert reader.is_amid


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_come():
    reader = FrameReader(10)

    assert list(reader.feed(HEADER.pack(10) + b'{"a":"bc"}')) == [{"a": "bc"}]
    with pytest.raises(FrameError, match="a frame of 11 bytes; the limit is 10"):
        list(reader.feed(HEADER.pack(11)))


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"5", b"[" * 100_000])
def test_what_is_no_object_is_refused(body: bytes):
    reader = FrameReader(1_000_000)

    with pytest.raises(FrameError, match="a frame that isn't"):
        list(reader.feed(HEADER.pack(len(body)) + body))
