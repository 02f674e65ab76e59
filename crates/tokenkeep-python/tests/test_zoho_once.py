"""Threads and processes of the SDK refresh once, and what happens if a refresh fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from conftest import SEALED, Place
from fake import Fake
from sdk import CLIENT, FileStore, OAuthToken, SDKException, UserSignature, call_api, initialize, sign_in

from tokenkeep import MemoryStore, SealedStore, Token, TokenStore
from tokenkeep.zoho import TokenkeepStore


@pytest.fixture(params=["memory", *SEALED])
def store(request: pytest.FixtureRequest, path: Path) -> TokenStore:
    return MemoryStore() if request.param == "memory" else Place(request.param, path).create()


def save_expired(store: TokenStore, user: str = "ada") -> str:
    client = {"client_id": CLIENT["client_id"], "client_secret": CLIENT["client_secret"]}
    return store.save_token(
        Token(user_name=user, access_token="old", refresh_token="refresh", expires_in=0, **client)  # type: ignore[arg-type]
    )


def in_threads(count: int, call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(call, range(count)))


def test_sixteen_threads_make_one_refresh(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    saved = save_expired(store)
    fake.delay, fake.rotate = 0.2, True
    shared = OAuthToken(id=saved)
    initialize(fake, OAuthToken(id=save_valid(store)), TokenkeepStore(store), tmp_path)
    tokens = in_threads(16, lambda _: shared.get_token())
    tokens += in_threads(16, lambda _: OAuthToken(id=saved).get_token())
    assert len(set(tokens)) == 1
    assert fake.refreshes == 1


def save_valid(store: TokenStore) -> str:
    return store.save_token(Token(user_name="valid", client_id="c", client_secret="s", access_token="a"))


def test_the_file_store_makes_up_to_sixteen(fake: Fake, tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "tokens.csv"))
    token = OAuthToken(**CLIENT, refresh_token="refresh", access_token="old", find_user=False)
    token.set_expires_in("1000")
    store.save_token(token)
    initialize(fake, OAuthToken(access_token="other", find_user=False), store, tmp_path)
    fake.delay = 0.2

    def get_token(_: int) -> None:
        with suppress(SDKException):  # it reads a file that another thread has half written
            OAuthToken(id="1").get_token()

    in_threads(16, get_token)
    assert fake.refreshes > 1


def test_sixteen_threads_call_the_api_as_two_users(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    fake.delay = 0.1
    ids = [save_expired(store, "ada"), save_expired(store, "grace")]
    adapter = TokenkeepStore(store)
    initialize(fake, OAuthToken(id=ids[0]), adapter, tmp_path)
    got = in_threads(16, lambda number: (number % 2, OAuthToken(id=ids[number % 2]).get_token()))
    assert len(set(got)) == 2 and fake.refreshes == 2
    assert call_api() == 200


def test_another_token_never_waits(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    expired, valid = save_expired(store), save_valid(store)
    adapter = TokenkeepStore(store)
    initialize(fake, OAuthToken(id=valid), adapter, tmp_path)
    fake.delay = 1
    thread = threading.Thread(target=OAuthToken(id=expired).get_token)
    thread.start()
    sleep(0.2)
    started = monotonic()
    assert OAuthToken(id=valid).get_token() == "a" and monotonic() - started < 0.2
    thread.join()


def test_a_refresh_that_failed_frees_the_token(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    saved = save_expired(store)
    initialize(fake, OAuthToken(id=save_valid(store)), TokenkeepStore(store, refresh_wait=20), tmp_path)
    fake.error, fake.delay = "server_error", 0.1
    started = monotonic()

    def refused(_: int) -> None:
        with pytest.raises(SDKException):
            OAuthToken(id=saved).get_token()

    in_threads(4, refused)
    fake.error = None
    assert OAuthToken(id=saved).get_token().startswith("access-")
    # One after the other, and nobody until the deadline.
    assert fake.refreshes == 5 and monotonic() - started < 5


def test_ended_claims_are_not_kept(fake: Fake, tmp_path: Path) -> None:
    store = MemoryStore()
    adapter = TokenkeepStore(store)
    initialize(fake, OAuthToken(id=save_valid(store)), adapter, tmp_path)
    for number in range(5):
        OAuthToken(id=save_expired(store, f"user {number}")).get_token()
    assert fake.refreshes == 5 and len(adapter._refreshing._given) == 1, "the last one is dropped with the next one"


def failed(store: TokenStore, fake: Fake, tmp_path: Path, refresh_wait: float) -> Any:
    """An object that lives on after the SDK has failed to refresh it: it has the claim of this thread."""
    save_expired(store)
    initialize(fake, OAuthToken(id=save_valid(store)), TokenkeepStore(store, refresh_wait=refresh_wait), tmp_path)
    shared = OAuthToken(user_signature=UserSignature("ada"), find_user=False)
    fake.error = "server_error"
    with pytest.raises(SDKException):
        shared.get_token()
    fake.error = None
    return shared


def test_a_thread_that_failed_tries_again_at_once(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    shared = failed(store, fake, tmp_path, refresh_wait=20)
    started = monotonic()
    assert OAuthToken(id=shared.get_id()).get_token().startswith("access-") and monotonic() - started < 2


def test_another_thread_takes_over_after_the_wait(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    shared = failed(store, fake, tmp_path, refresh_wait=0.7)
    started = monotonic()
    assert in_threads(1, lambda _: OAuthToken(id=shared.get_id()).get_token())[0].startswith("access-")
    assert 0.3 < monotonic() - started < 5


def test_after_the_wait_nothing_is_asked(sealed: SealedStore, place: Place, fake: Fake, tmp_path: Path) -> None:
    with place.open() as other:
        saved = save_expired(sealed)
        initialize(fake, OAuthToken(id=save_valid(sealed)), TokenkeepStore(sealed, refresh_wait=0.5), tmp_path)
        with other.begin_refresh(Token(id=saved)):  # type: ignore[union-attr]
            with pytest.raises(SDKException, match="refreshing"):
                OAuthToken(id=saved).get_token()
    assert fake.requests == []


def test_a_new_sign_in_during_a_refresh_stays(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    saved = save_expired(store)
    initialize(fake, OAuthToken(id=save_valid(store)), TokenkeepStore(store), tmp_path)
    fake.during = lambda: store.save_token(Token(id=saved, refresh_token="newer", access_token="newer"))
    OAuthToken(id=saved).get_token()
    found = store.find_token_by_id(saved)
    assert found is not None and (found.refresh_token, found.access_token) == ("newer", "newer")


def test_remove_during_a_refresh_is_not_undone(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    saved = save_expired(store)
    adapter = TokenkeepStore(store)
    initialize(fake, OAuthToken(id=save_valid(store)), adapter, tmp_path)
    fake.during = lambda: store.delete_token(saved)
    OAuthToken(id=saved).get_token()
    assert store.find_token_by_id(saved) is None and adapter.unsaved == 0


def ready(store: TokenStore, fake: Fake, tmp_path: Path, **options: Any) -> TokenkeepStore:
    """The SDK, ready for sign-ins."""
    adapter = TokenkeepStore(store, **options)
    initialize(fake, OAuthToken(id=save_valid(store)), adapter, tmp_path)
    return adapter


def test_sixteen_threads_sign_in_with_one_request(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    ready(store, fake, tmp_path)
    fake.delay = 0.2
    for fields in ({"grant_token": "grant"}, {"refresh_token": "refresh"}):
        user = next(iter(fields))
        tokens = in_threads(16, lambda _: sign_in(user, **fields).get_token())
        assert len(set(tokens)) == 1
    assert [form["grant_type"] for form in fake.requests] == ["authorization_code", "refresh_token"]
    assert len(store.get_tokens()) == 3 and store.namespaces() == []


def test_a_sign_in_that_failed_lets_others_try(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    ready(store, fake, tmp_path, refresh_wait=20)
    fake.error, fake.delay = "invalid_code", 0.1
    started = monotonic()

    def refused(_: int) -> None:
        with pytest.raises(SDKException):
            sign_in().get_token()

    in_threads(4, refused)
    fake.error = None
    assert sign_in().get_token() == "access-5" and monotonic() - started < 10


def test_a_sign_in_that_nobody_ends_makes_others_wait_for_a_while(
    store: TokenStore, fake: Fake, tmp_path: Path
) -> None:
    adapter = ready(store, fake, tmp_path, refresh_wait=0.5)
    kept = sign_in()
    in_threads(1, lambda _: adapter.find_token(kept))
    started = monotonic()
    # One with another grant token, or of another user, does not wait.
    for other in (sign_in("grace"), sign_in("ada", grant_token="other")):
        assert adapter.find_token(other) is None and monotonic() - started < 0.4
    assert sign_in().get_token() == "access-1" and monotonic() - started > 0.4


def test_a_thread_does_not_wait_for_itself(store: TokenStore, fake: Fake, tmp_path: Path) -> None:
    adapter = ready(store, fake, tmp_path, refresh_wait=20)
    kept = sign_in()
    started = monotonic()
    assert adapter.find_token(kept) is None and adapter.find_token(sign_in()) is None
    assert kept.get_token() == "access-1" and monotonic() - started < 10


def test_the_mark_of_a_failed_sign_in_is_removed_later(
    store: TokenStore, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = ready(store, fake, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tokenkeep.zoho._refreshing._MARK_LIFETIME", 0.2)
        for user in ("ada", "grace"):
            assert adapter.find_token(sign_in(user)) is None
    assert store.namespaces() != []
    sleep(0.3)
    assert sign_in("ada").get_token() == "access-1"
    assert store.namespaces() == []


SIGN_IN = """
import sys
from pathlib import Path
from conftest import Place
from sdk import initialize, sign_in
from tokenkeep.zoho import TokenkeepStore
url, kind, path, directory = sys.argv[1:]
token = sign_in()
initialize(url, token, TokenkeepStore(Place(kind, path).open()), Path(directory))
print("ready", flush=True)
sys.stdin.readline()
print(token.get_token(), flush=True)
"""


def test_four_processes_sign_in_with_one_request(
    place: Place, fake: Fake, tmp_path: Path, python: Callable[..., Any]
) -> None:
    place.create().close()
    fake.delay = 0.3
    processes = [python(SIGN_IN, fake.url, place.kind, place.path, tmp_path) for _ in range(4)]
    tokens = go(processes)
    assert tokens == {"access-1\n"} and len(fake.requests) == 1


def go(processes: list[Any]) -> set[str]:
    """What the processes print once all of them are ready."""
    for process in processes:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return {process.stdout.readline() for process in processes}


PROCESS = """
import sys
from pathlib import Path
from conftest import Place
from sdk import OAuthToken, initialize
from tokenkeep.zoho import TokenkeepStore
url, kind, path, saved, valid, directory = sys.argv[1:]
options = {} if kind == "file" else {"lease": 2}
store = TokenkeepStore(Place(kind, path).open(**options))
initialize(url, OAuthToken(id=valid), store, Path(directory))
print("ready", flush=True)
sys.stdin.readline()
print(OAuthToken(id=saved).get_token(), flush=True)
"""


def test_four_processes_make_one_refresh(place: Place, fake: Fake, tmp_path: Path, python: Callable[..., Any]) -> None:
    with place.create() as store:
        saved, valid = save_expired(store), save_valid(store)
    fake.delay, fake.rotate = 0.3, True
    processes = [python(PROCESS, fake.url, place.kind, place.path, saved, valid, tmp_path) for _ in range(4)]
    tokens = go(processes)
    assert len(tokens) == 1 and fake.refreshes == 1
    assert [process.wait() for process in processes] == [0, 0, 0, 0]


def test_a_process_that_is_killed_in_a_refresh_frees_the_token(
    place: Place, fake: Fake, tmp_path: Path, python: Callable[..., Any]
) -> None:
    with place.create() as store:
        saved, valid = save_expired(store), save_valid(store)
    asked = threading.Event()

    def hang() -> None:
        asked.set()
        sleep(1)

    fake.during = hang
    process = python(PROCESS, fake.url, place.kind, place.path, saved, valid, tmp_path)
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert asked.wait(10)
    process.kill()
    process.wait()
    fake.during = lambda: None
    with place.open() as store:
        initialize(fake, OAuthToken(id=valid), TokenkeepStore(store), tmp_path)
        started = monotonic()
        # A file frees it at once, a database once the lease is over.
        longest = 1 if place.kind == "file" else 4
        assert OAuthToken(id=saved).get_token().startswith("access-") and monotonic() - started < longest
        found = store.find_token_by_id(saved)
        assert found is not None and found.access_token != "old"
