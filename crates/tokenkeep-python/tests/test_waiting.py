"""Ctrl-C, threads that run meanwhile, the end of the program, forks, and the time of an import."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from conftest import ADA, Place, passphrase

import tokenkeep
from tokenkeep import Claim, Keystore, MemoryStore, Need, SealedStore, Token

Python = Callable[..., Any]


def claimed(store: SealedStore) -> Claim:
    claim = store.begin_refresh(ADA, wait=False)
    assert isinstance(claim, Claim)
    return claim


def interrupted(wait: Callable[[], object]) -> float:
    """How long after Ctrl-C the wait has ended."""
    sent = 0.0

    def send() -> None:
        nonlocal sent
        sent = monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.2, send).start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    return monotonic() - sent


def test_ctrl_c_ends_every_kind_of_wait(sealed: SealedStore, place: Place) -> None:
    sealed.save_token(ADA.replace(access_token="a", refresh_token="r", expires_in=0))
    other = place.open()
    version = sealed.version()
    with claimed(sealed) as claim:
        assert interrupted(lambda: sealed.begin_refresh(ADA)) < 0.1
        assert interrupted(lambda: sealed.wait_for_change(version, 60)) < 0.1
        claim.token()
    with sealed.transaction():
        assert interrupted(lambda: other.save_token(ADA.replace(access_token="b"))) < 0.1
        assert interrupted(lambda: other.transaction().__enter__()) < 0.1
    deadline = monotonic() + 10
    while sealed.find_stored(ADA).access_token != "b":  # type: ignore[union-attr]
        assert monotonic() < deadline, "the save was to go on"
        sleep(0.01)
    other.save_token(ADA.replace(access_token="c"))
    other.close()


def test_ctrl_c_in_a_transaction_undoes_it(sealed: SealedStore) -> None:
    def body() -> None:
        with sealed.transaction() as transaction:
            transaction.save_token(ADA.replace(access_token="a"))
            sleep(10)

    interrupted(body)
    assert sealed.get_tokens() == []


def test_other_threads_run_during_a_wait(sealed: SealedStore) -> None:
    sealed.save_token(ADA.replace(access_token="a", refresh_token="r", expires_in=0))
    ticks = 0
    ended = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not ended.wait(0.01):
            ticks += 1

    threading.Thread(target=tick).start()

    def wait_a_while() -> None:
        with pytest.raises(TimeoutError):
            sealed.begin_refresh(ADA, Need(timeout=0.3))

    with claimed(sealed):
        wait_a_while()
        assert ticks > 10
        ticks = 0
        waiter = threading.Thread(target=wait_a_while)
        waiter.start()
        waiter.join()
        assert ticks > 10
    ended.set()


def test_the_program_ends_cleanly_with_running_threads(sealed: SealedStore, place: Place, python: Python) -> None:
    program = """
import sys, threading, time
from conftest import Place
from tokenkeep import Need, Token
store = Place(*sys.argv[1:]).open()
ada = Token(user_name="ada", refresh_token="r")
store.save_token(ada)
claim = store.begin_refresh(ada)
def forever(work):
    while True:
        try:
            work()
        except TimeoutError:
            pass
for work in (
    lambda: store.find_stored(ada),
    lambda: store.save_token(ada),
    lambda: store.begin_refresh(ada, Need(timeout=0.2)),
    lambda: store.wait_for_change(store.version(), 60),
):
    threading.Thread(target=forever, args=(work,), daemon=True).start()
transaction = store.transaction()
time.sleep(0.3)
transaction.__enter__()
print("end")
"""
    for _ in range(5):
        sealed.delete_tokens()  # with the claims of the run before
        running = python(program, place.kind, place.path)
        started = monotonic()
        out, err = running.communicate(timeout=30)
        assert (running.returncode, out, err) == (0, "end\n", "") and monotonic() - started < 10
        assert len(sealed.get_tokens()) == 1
        if isinstance(sealed, Keystore):
            sealed.verify()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_has_to_open_the_store(place: Place, python: Python) -> None:
    program = """
import os, sys, time, warnings
from conftest import Place
from tokenkeep import Claim, MemoryStore, ReopenError, ConflictError, Token
warnings.simplefilter("ignore", DeprecationWarning)  # a worker thread may be about to end
ada = Token(user_name="ada", refresh_token="r")
place = Place(*sys.argv[1:])
store = place.create()
memory = MemoryStore()
memory.save_token(ada)
store.save_token(ada)
claim = store.begin_refresh(ada)
assert isinstance(claim, Claim)
claim.token()
def refused(call, error):
    try:
        call()
    except error:
        return
    os._exit(2)
receiver, sender = os.pipe()
if os.fork() == 0:
    refused(lambda: store.find_stored(ada), ReopenError)
    refused(lambda: store.save_token(ada), ReopenError)
    refused(lambda: store.version(), ReopenError)
    refused(lambda: store.transaction().__enter__(), ReopenError)
    refused(claim.token, ConflictError)
    with place.open() as again:
        refused(lambda: again.begin_refresh(ada, wait=False), TimeoutError)
        again.save_token(ada.replace(access_token="of the child", expires_in=None))
    if len(memory.get_tokens()) != 1:
        os._exit(3)
    print("child", flush=True)
    os.write(sender, b"1")
    time.sleep(2)  # it has its copies while the parent goes on
    os._exit(0)
os.close(sender)
os.read(receiver, 1)
claim.close()
del claim
print(store.find_stored(ada).access_token, flush=True)
other = store.begin_refresh(ada, __import__("tokenkeep").Need.now(), wait=False)
print(type(other).__name__, flush=True)
os._exit(0)
"""
    running = python(program, place.kind, place.path)
    out, err = running.communicate(timeout=30)
    assert (out, err) == ("child\nof the child\nClaim\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_keep_the_claim_of_a_parent_that_died(path: Path, python: Python) -> None:
    program = """
import os, sys, time
from conftest import passphrase
from tokenkeep import Keystore, Token
ada = Token(user_name="ada", refresh_token="r")
store = Keystore.create(sys.argv[1], passphrase())
store.save_token(ada)
claim = store.begin_refresh(ada)
receiver, sender = os.pipe()
if os.fork() == 0:
    os.close(1)
    os.close(2)
    os.write(sender, b"1")
    time.sleep(20)
    os._exit(0)
os.close(sender)
os.read(receiver, 1)
os.kill(os.getpid(), 9)
"""
    assert python(program, path).wait(timeout=30) == -9
    with Keystore.open(path, passphrase()) as store:
        claim = store.begin_refresh(Token(user_name="ada"), wait=False)
        assert isinstance(claim, Claim)


def test_the_import_takes_a_few_milliseconds(python: Python) -> None:
    program = """
import sys
from time import perf_counter
started = perf_counter()
import tokenkeep
took = perf_counter() - started
heavy = {"typing", "datetime", "asyncio", "threading", "enum", "dataclasses", "zohocrmsdk", "logging"}
print(took, *sorted(heavy & set(sys.modules)))
"""
    bare = python("import sys; print(*sys.modules)").communicate()[0].split()
    runs = [python(program).communicate()[0].split() for _ in range(5)]
    assert set(runs[0][1:]) <= set(bare), "tokenkeep imports these modules"
    # The figure is in docs/performance.md; this bound is for a busy machine.
    assert min(float(run[0]) for run in runs) < 0.05


def test_hardening_is_for_the_whole_process(python: Python) -> None:
    program = "import tokenkeep, resource; tokenkeep.harden_process(); print(resource.getrlimit(resource.RLIMIT_CORE))"
    if sys.platform == "linux":
        assert python(program).communicate()[0] == "(0, 0)\n"


def test_a_store_is_used_by_many_threads(sealed: SealedStore) -> None:
    def work(number: int) -> None:
        mine = Token(user_name=f"user-{number}", client_id="c")
        for turn in range(5):
            sealed.save_token(mine.replace(access_token=f"{number}-{turn}"))
            found = sealed.find_stored(mine)
            assert found is not None and found.access_token == f"{number}-{turn}"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sealed.get_tokens()) == 8
    assert tokenkeep.MemoryStore is MemoryStore
