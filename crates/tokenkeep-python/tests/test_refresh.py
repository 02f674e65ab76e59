"""Refreshing once, in threads and in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from conftest import ADA, Place, claimed, passphrase, until

import tokenkeep
from tokenkeep import (
    Answer,
    BusyError,
    Claim,
    Fresh,
    Keystore,
    MemoryStore,
    Need,
    RefreshError,
    SealedStore,
    SignInAgain,
    Stale,
    Token,
    TokenStore,
    aio,
)


@pytest.fixture
def expired(store: TokenStore) -> TokenStore:
    store.save_token(ADA.replace(access_token="old", refresh_token="r1", expires_in=0))
    return store


def test_a_good_token_is_fresh(store: TokenStore) -> None:
    store.save_token(ADA.replace(access_token="a", refresh_token="r", expires_in=3600))
    match store.begin_refresh(ADA):
        case Fresh(token):
            assert token.access_token == "a"
        case other:
            pytest.fail(repr(other))
    with pytest.raises(LookupError):
        store.begin_refresh(Token(user_name="grace"))


def test_a_claim_is_completed(expired: TokenStore) -> None:
    with claimed(expired) as claim:
        assert claim.token().refresh_token == "r1" and isinstance(claim.trusted_until, datetime)
        claim.renew()
        saved = claim.complete(Token(access_token="new", expires_in=3600))
    assert (saved.access_token, saved.refresh_token) == ("new", "r1") and repr(claim) == "Claim(ended)"
    for call in (claim.token, claim.renew, claim.sign_in_again, lambda: claim.complete(ADA)):
        with pytest.raises(tokenkeep.ConflictError):
            call()
    assert claim.trusted_until is None and not claim.was_left_unfinished


def test_one_of_many_threads_refreshes(expired: TokenStore) -> None:
    asked: list[str | None] = []

    def request(token: Token) -> Token:
        asked.append(token.refresh_token)
        sleep(0.1)
        return Token(access_token="new", expires_in=3600)

    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda _: expired.refresh_with(ADA, request), range(16)))
    assert asked == ["r1"] and {result.token.access_token for result in results} == {"new"}
    assert all(isinstance(result, Fresh) for result in results)


def test_without_waiting_another_refresh_is_busy(expired: TokenStore) -> None:
    with claimed(expired):
        started = monotonic()
        with pytest.raises(BusyError):
            expired.begin_refresh(ADA, wait=False)
        with pytest.raises(BusyError):
            expired.begin_refresh(ADA, Need(timeout=0.05))
        assert monotonic() - started < 20  # and not the 30 seconds of a Need()
    claimed(expired).close()


def test_a_refused_token_needs_a_sign_in(expired: TokenStore) -> None:
    result = expired.refresh_with(ADA, lambda _: Answer.refused("invalid_grant"))
    assert isinstance(result, SignInAgain) and result.token.rejected_at is not None
    assert isinstance(expired.begin_refresh(ADA), SignInAgain)


def test_a_server_that_is_busy_is_asked_later(expired: TokenStore) -> None:
    with pytest.raises(RefreshError) as error:
        expired.refresh_with(ADA, lambda _: Answer.retry_later(60))
    assert (error.value.step, error.value.kind) == ("request", "busy")
    with pytest.raises(BusyError) as busy:
        expired.begin_refresh(ADA)
    assert busy.value.until is not None


def test_a_token_that_is_still_valid_is_used_meanwhile(store: TokenStore) -> None:
    store.save_token(ADA.replace(access_token="old", refresh_token="r1", expires_in=20, received_at=long_ago()))
    result = store.refresh_with(ADA, lambda _: Answer.refused("503"))
    assert isinstance(result, Stale) and result.reason == "backed_off" and result.until is not None
    assert result.token.access_token == "old"


def long_ago() -> datetime:
    from datetime import timedelta, timezone

    return datetime.now(timezone.utc) - timedelta(hours=1)


def test_an_exception_of_the_request_is_the_cause(expired: TokenStore) -> None:
    broken = ConnectionError("no route")

    def request(token: Token) -> Token:
        raise broken

    with pytest.raises(RefreshError) as error:
        expired.refresh_with(ADA, request)
    assert error.value.__cause__ is broken and error.value.token is None
    with pytest.raises(tokenkeep.InvalidError):
        error.value.retry()


def test_an_interrupt_in_the_request_gives_the_claim_up(expired: TokenStore) -> None:
    def request(token: Token) -> Token:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        expired.refresh_with(ADA, request)
    with pytest.raises(TypeError):
        expired.refresh_with(ADA, lambda _: "token")  # type: ignore[arg-type, return-value]
    claimed(expired).close()


def test_a_claim_is_not_used_inside_a_transaction_of_its_store(expired: TokenStore) -> None:
    claim = claimed(expired)
    with expired.transaction():
        for use in (claim.token, claim.renew, lambda: claim.complete(Token(access_token="new"))):
            with pytest.raises(tokenkeep.InvalidError, match="in a transaction"):
                use()
    assert claim.complete(Token(access_token="new")).access_token == "new"


def test_a_new_token_that_was_not_saved_is_in_the_error(path: Path) -> None:
    store = Keystore.create(path, passphrase())
    store.save_token(ADA.replace(access_token="old", refresh_token="r1", expires_in=0))
    claim = claimed(store, Need(timeout=0.1))
    with Keystore.open(path, passphrase()) as other:
        other.rekey(passphrase())
    with pytest.raises(RefreshError) as error:
        claim.complete(Token(access_token="new", refresh_token="r2"))
    assert (error.value.step, error.value.kind) == ("save", "reopen")
    assert error.value.token is not None and error.value.token.refresh_token == "r2"
    assert "r2" not in repr(error.value) + str(error.value)
    with Keystore.open(path, passphrase()) as again:
        with pytest.raises(BusyError):
            again.begin_refresh(ADA, wait=False)
        assert error.value.retry(again).refresh_token == "r2"
        assert isinstance(again.begin_refresh(ADA), Fresh) and error.value.token is None


def test_sign_out_is_not_undone_by_a_refresh(expired: TokenStore) -> None:
    saved = expired.find_stored(ADA).id  # type: ignore[union-attr]
    assert saved is not None
    asked, ended = threading.Event(), threading.Event()

    def request(token: Token) -> Token:
        asked.set()
        assert not ended.wait(0.2), "it waits for the refresh"
        return Token(access_token="new", refresh_token="r2")

    refresh = threading.Thread(target=expired.refresh_with, args=(ADA, request))
    refresh.start()
    assert asked.wait(60) and expired.sign_out(saved)
    ended.set()
    refresh.join()
    assert expired.find_token_by_id(saved) is None and not expired.sign_out(saved)


async def ask(token: Token) -> Token:
    await asyncio.sleep(0.1)
    return Token(access_token="new", expires_in=3600)


def test_one_of_many_tasks_refreshes(expired: TokenStore) -> None:
    asked: list[Token] = []

    async def request(token: Token) -> Token:
        asked.append(token)
        return await ask(token)

    async def main() -> list[Any]:
        return await asyncio.gather(*(aio.refresh_with(expired, ADA, request) for _ in range(100)))

    results = asyncio.run(main())
    assert len(asked) == 1 and {result.token.access_token for result in results} == {"new"}


@pytest.mark.parametrize("when", ["in the request", "after the answer"])
def test_a_cancelled_task_skips_no_save(expired: TokenStore, when: str) -> None:
    reached = asyncio.Event()

    async def request(token: Token) -> Token:
        reached.set()
        if when == "in the request":
            await asyncio.sleep(60)
        return Token(access_token="new", expires_in=3600)

    async def main() -> None:
        task = asyncio.create_task(aio.refresh_with(expired, ADA, request))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    if when == "in the request":
        claimed(expired).close()
        return
    until(lambda: expired.find_stored(ADA).access_token == "new")  # type: ignore[union-attr]


def test_a_failed_request_of_a_task(expired: TokenStore) -> None:
    async def request(token: Token) -> Token:
        raise ConnectionError

    with pytest.raises(RefreshError):
        asyncio.run(aio.refresh_with(expired, ADA, request))
    with pytest.raises(BusyError):
        asyncio.run(aio.refresh_with(expired, ADA, request, timeout=0.1))


def test_an_unfinished_refresh_is_noticed(sealed: SealedStore, place: Place, python: Callable[..., Any]) -> None:
    sealed.save_token(ADA.replace(access_token="old", refresh_token="r1", expires_in=0))
    program = """
import os, sys
from conftest import Place, claimed
options = {} if sys.argv[1] == "file" else {"lease": 1}
claim = claimed(Place(*sys.argv[1:]).open(**options))
claim.token()
os.kill(os.getpid(), 9)
"""
    assert python(program, place.kind, place.path).wait() == -9
    with claimed(sealed) as claim:
        assert claim.was_left_unfinished
