"""A refresh for asyncio code. No thread waits for another caller's refresh."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeAlias

from ._errors import BusyError
from ._native import Answer, Claim, Fresh, Need, SignInAgain, Stale, Token, TokenStore

Refreshed: TypeAlias = Fresh | Stale | SignInAgain

#: The first and the longest pause between two looks while another caller refreshes.
_PAUSES = (0.01, 0.25)


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
    begun = await _begin(store, query, need, timeout)
    if not isinstance(begun, Claim):
        return begun
    with begun as claim:
        try:
            answer = await request(claim.token())
        except Exception as error:
            answer = Answer.failed(error)
        # Nothing is awaited before the thread has both.
        return await asyncio.shield(_in_thread(lambda: claim.finish(answer)))


async def _begin(store: TokenStore, query: Token, need: Need | None, timeout: float) -> Refreshed | Claim:
    deadline, pause = monotonic() + timeout, _PAUSES[0]
    while True:
        try:
            return store.begin_refresh(query, need, wait=False)
        except BusyError as error:
            left = deadline - monotonic()
            if error.until is not None or left <= 0:
                raise
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _PAUSES[1])


def _in_thread(work: Callable[[], Refreshed]) -> asyncio.Future[Refreshed]:
    """The result of the work, in a thread of its own: those of to_thread may all be waiting for this save."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Refreshed] = loop.create_future()

    def report(result: Refreshed | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif result is not None:
            done.set_result(result)

    def run() -> None:
        result, raised = None, None
        try:
            result = work()
        except BaseException as error:
            raised = error
        try:
            loop.call_soon_threadsafe(report, result, raised)
        except RuntimeError:
            pass  # the loop has been closed

    threading.Thread(target=run, name="tokenkeep-finish").start()
    return done
