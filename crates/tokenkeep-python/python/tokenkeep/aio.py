"""A refresh for asyncio code. No thread waits for another caller's refresh. A database is asked in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Protocol, TypeAlias, TypeVar

from ._errors import BusyError
from ._native import Answer, Claim, Fresh, Need, SignInAgain, Stale, Token, TokenStore

Refreshed: TypeAlias = Fresh | Stale | SignInAgain
Result = TypeVar("Result")

#: The first and the longest pause between two looks while another caller refreshes.
_PAUSES = (0.01, 0.25)


class _Call(Protocol):
    def __call__(self, work: Callable[[], Result], /) -> asyncio.Future[Result]: ...


async def refresh_with(
    store: TokenStore,
    query: Token,
    request: Callable[[Token], Awaitable[Answer | Token]],
    need: Need | None = None,
    *,
    timeout: float = 30.0,
) -> Refreshed:
    """TokenStore.refresh_with for a request that is a coroutine function.

    timeout: for how many seconds it waits for another caller's refresh of a token that cannot be used meanwhile.

    If this task is cancelled before the request has answered, the claim ends. The server may still have handled the
    request, and then the user has to sign in again: so run the refresh in a task of its own that nobody cancels. Once
    the request has answered, its answer is saved even if this task is cancelled.
    """
    call = _in_thread if store._asks_database else _in_place
    claim = await _begin(store, query, need, timeout, call)
    if not isinstance(claim, Claim):
        return claim
    try:
        answer = await request(await call(claim.token))
    except Exception as error:
        answer = Answer.failed(error)
    except BaseException:
        call(claim.close)
        raise
    # Nothing is awaited before the thread has both.
    return await asyncio.shield(_in_thread(lambda: claim.finish(answer)))


async def _begin(store: TokenStore, query: Token, need: Need | None, timeout: float, call: _Call) -> Refreshed | Claim:
    deadline, pause = monotonic() + timeout, _PAUSES[0]
    while True:
        try:
            return await call(lambda: store.begin_refresh(query, need, wait=False))
        except BusyError as error:
            left = deadline - monotonic()
            if error.until is not None or left <= 0:
                raise
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _PAUSES[1])


def _outcome(work: Callable[[], Result]) -> Callable[[asyncio.Future[Result]], None]:
    """Does the work, and returns what gives a future its result or exception."""
    try:
        result = work()
    except BaseException as error:
        raised = error
        return lambda done: done.set_exception(raised)
    return lambda done: done.set_result(result)


def _in_place(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """The result of the work, which asks nobody."""
    done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    _outcome(work)(done)
    return done


def _in_thread(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """The result of the work, in a thread of its own: every thread of to_thread may be waiting for this save."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        settle = _outcome(work)
        try:
            loop.call_soon_threadsafe(lambda: None if done.done() else settle(done))
        except RuntimeError:
            pass  # the loop has been closed

    threading.Thread(target=run, name="tokenkeep-call").start()
    return done
