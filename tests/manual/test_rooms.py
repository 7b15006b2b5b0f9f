"""Rooms: no two passes have one at a time, and no more are kept than is said."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from unittest import mock

import numpy as np
import pytest

from manual import rooms
from manual.rooms import LARGEST, MOST, Room, Rows


class Stub(Room):
    def __init__(self, *sizes: object, numbers: int = 1) -> None:
        super().__init__(*sizes)
        self.numbers = np.empty(numbers)
        self.view = self.numbers[:1]


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    with mock.patch.object(rooms, "_left", {}):
        yield


def test_what_was_left_is_taken_once() -> None:
    first = Stub.taken(1, "f4")
    assert first.sizes == (1, "f4")
    first.leave()
    assert Stub.taken(1, "f4") is first
    assert Stub.taken(1, "f4") is not first


def test_it_is_taken_by_those_alone_who_want_it_in_every_respect() -> None:
    class Other(Stub):
        pass

    first = Stub.taken(1, "f4")
    first.leave()
    for make, sizes in ((Stub, (2, "f4")), (Stub, (1, "f8")), (Other, (1, "f4"))):
        assert make.taken(*sizes) is not first
    assert Stub.taken(1, "f4") is first


def test_of_the_same_sizes_one_is_kept() -> None:
    one, other = Stub(1), Stub(1)
    one.leave()
    other.leave()
    assert Stub.taken(1) is other
    assert Stub.taken(1) is not one


def test_no_more_are_kept_than_is_said() -> None:
    for n in range(3 * MOST):
        Stub(n).leave()
        assert 1 <= len(rooms._left) <= MOST
        assert rooms._left[Stub, n].sizes == (n,)


def test_four_layers_find_their_rooms_again_and_five_may_not() -> None:
    made = [Stub(n, way) for n in range(4) for way in ("there", "back")]
    for room in made:
        room.leave()
    assert [Stub.taken(*room.sizes) for room in made] == made
    for room in (*made, Stub(4, "there")):
        room.leave()
    assert len(rooms._left) < len(made)


def test_large_ones_are_not_kept() -> None:
    """Four mebibytes are not large; views take no room."""
    assert LARGEST == 4 * 1024 * 1024
    for numbers, kept in ((2**19, True), (2**19 + 1, False), (2**20, False)):
        Stub(numbers, numbers=numbers).leave()
        assert ((Stub, numbers) in rooms._left) is kept


def test_threads_take_each_its_own() -> None:
    taken = list[Stub]()

    def take() -> None:
        for _ in range(300):
            room = Stub.taken(1)
            assert room not in taken
            taken.append(room)
            taken.remove(room)
            room.leave()

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not taken


def test_rows_are_made_when_they_are_asked_for_and_stay() -> None:
    one, other = np.arange(12.0).reshape(4, 3), np.arange(4.0)[:, None]
    rows = Rows(one, other)
    assert rows.made == []
    first = rows.first(2)
    assert [len(first), len(rows.made)] == [2, 2]
    more = rows.first(4)
    assert [len(more), len(rows.made)] == [4, 4]
    for k, (a, b) in enumerate(more):
        assert np.shares_memory(a, one)
        np.testing.assert_array_equal(a, one[k])
        np.testing.assert_array_equal(b, other[k])
    assert all(x is y for x, y in zip(first, rows.first(2), strict=True))
    assert len(rows.made) == 4
    assert rows.first(0) == []
