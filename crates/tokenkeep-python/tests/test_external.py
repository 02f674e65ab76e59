"""Keys that functions of the application keep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest
from conftest import ADA, Place, passphrase

import tokenkeep
from tokenkeep import External, ExternalSlot, MemoryStore

ZEROS = bytes(32)


class Safe:
    """Keeps keys, by the id of their slot."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        #: The bytearrays that it was given.
        self.given: list[bytearray] = []
        self.slots: list[ExternalSlot] = []

    def create(self, slot: ExternalSlot, key: bytearray) -> bytes:
        assert len(key) == 32 and key != ZEROS
        self.keys[slot.slot_id] = bytes(key)
        self.given.append(key)
        self.slots.append(slot)
        return b"in " + slot.slot_id.encode()

    def open(self, slot: ExternalSlot, data: bytes, key: bytearray) -> None:
        assert data == b"in " + slot.slot_id.encode()
        key[:] = self.keys[slot.slot_id]
        self.given.append(key)

    def forget(self, slot: ExternalSlot, data: bytes) -> None:
        assert data == b"in " + slot.slot_id.encode()
        self.keys.pop(slot.slot_id, None)

    def external(self, deadline: float | None = None) -> External:
        return External(
            "safe", create=self.create, open=self.open, forget=self.forget, deadline=deadline, label="the safe"
        )


def test_a_store_is_opened_with_a_key_of_the_application(place: Place) -> None:
    safe = Safe()
    with place.create(safe.external()) as store:
        store.save_token(ADA.replace(access_token="a"))
        (slot,) = store.slots()
        assert (slot.kind, slot.provider, slot.label) == ("external", "safe", "the safe")
        asked = safe.slots[0]
        assert asked.slot_id == slot.id and len(asked.store_id) == 16 and 0 < asked.remaining <= 30
    with place.open(safe.external()) as store:
        assert len(store.get_tokens()) == 1
        store.add_slot(passphrase())
        assert len(safe.keys) == 1
        store.remove_slot(slot.id)
        assert safe.keys == {}
    with pytest.raises(tokenkeep.NoKeySlotError):
        place.open(safe.external())
    assert repr(safe.external()) == "External('safe')".replace("'", '"')


def test_the_bytearray_is_wiped_after_each_call(place: Place) -> None:
    safe = Safe()
    place.create(safe.external()).close()
    place.open(safe.external()).close()
    assert len(safe.given) >= 3 and set(map(bytes, safe.given)) == {ZEROS}


def test_an_exception_is_kept_and_not_shown(place: Place) -> None:
    safe, broken = Safe(), ConnectionError("canary")
    place.create(safe.external()).close()

    def refuse(slot: ExternalSlot, data: bytes, key: bytearray) -> None:
        raise broken

    unlock = External("safe", create=safe.create, open=refuse)
    assert unlock.last_error is None
    with pytest.raises(tokenkeep.ExternalKeyError, match="last_error") as error:
        place.open(unlock)
    assert unlock.last_error is broken and "canary" not in str(error.value)


def shorten(slot: ExternalSlot, data: bytes, key: bytearray) -> None:
    key[:] = b"short"


def do_nothing(slot: ExternalSlot, data: bytes, key: bytearray) -> None:
    pass


@pytest.mark.parametrize("broken", [shorten, do_nothing])
def test_what_is_no_key_of_the_slot_is_refused(
    broken: Callable[[ExternalSlot, bytes, bytearray], None], place: Place
) -> None:
    safe = Safe()
    unlock = External("safe", create=safe.create, open=broken)
    with pytest.raises(tokenkeep.ExternalKeyError):
        place.create(unlock)
    assert isinstance(unlock.last_error, ValueError) is (broken is shorten)
    with pytest.raises(tokenkeep.ExternalKeyError):
        place.create(External("safe", create=lambda slot, key: "text", open=safe.open))  # type: ignore[arg-type, return-value]


def test_a_function_is_waited_for_until_the_deadline(place: Place) -> None:
    safe, ended = Safe(), threading.Event()
    place.create(safe.external()).close()

    def hang(slot: ExternalSlot, data: bytes, key: bytearray) -> None:
        ended.wait(20)

    started = monotonic()
    with pytest.raises(tokenkeep.ExternalKeyError, match="300 ms"):
        place.open(External("safe", create=safe.create, open=hang, deadline=0.3))
    assert 0.2 < monotonic() - started < 10
    ended.set()


def test_functions_may_use_other_stores_and_threads(place: Place) -> None:
    safe = Safe()

    def open_slowly(slot: ExternalSlot, data: bytes, key: bytearray) -> None:
        MemoryStore().save_token(ADA.replace(access_token="a"))
        sleep(0.05)
        safe.open(slot, data, key)

    unlock = External("safe", create=safe.create, open=open_slowly)
    place.create(unlock).close()
    opened: list[int] = []

    def use() -> None:
        with place.open(unlock) as store:
            opened.append(len(store.get_tokens()))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    use()
    for thread in threads:
        thread.join()
    assert opened == [0] * 5
