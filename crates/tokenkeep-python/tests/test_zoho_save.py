"""Saves that fail, forks, and programs that are killed."""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from conftest import Place, passphrase
from fake import Fake
from sdk import CLIENT, OAuthToken, SDKException, UserSignature, initialize, shown, sign_in
from test_zoho_once import save_expired, save_valid

import tokenkeep
from tokenkeep import Keystore, MemoryStore, Token, TokenkeepError, TokenStore
from tokenkeep.zoho import TokenkeepStore, _refreshing, import_file, import_table


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves are tried again at the next call, and not only after a while."""
    monkeypatch.setattr("tokenkeep.zoho._unsaved._PAUSE", 0.0)
    monkeypatch.setattr("tokenkeep.zoho._store._REOPEN_PAUSE", 0.0)


class Disk:
    """Saves of a store fail while it is broken, also those of root."""

    def __init__(self, path: Path) -> None:
        self.lock = path.with_name(path.name + ".lock")

    def break_down(self) -> None:
        self.lock.unlink(missing_ok=True)
        self.lock.mkdir()

    def repair(self) -> None:
        self.lock.rmdir()


def test_a_refresh_that_was_not_saved_is_used_and_saved_later(
    path: Path, fake: Fake, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[TokenkeepError] = []
    store, disk = Keystore.create(path, passphrase()), Disk(path)
    saved = save_expired(store)
    adapter = TokenkeepStore(store, on_save_error=errors.append)
    initialize(fake, OAuthToken(id=save_valid(store)), adapter, tmp_path)
    fake.rotate, fake.during = True, disk.break_down
    with caplog.at_level(logging.ERROR, "tokenkeep.zoho"):
        assert OAuthToken(id=saved).get_token() == "access-1"
    assert len(errors) == 1 and adapter.last_save_error is errors[0] and adapter.unsaved == 1
    assert "not saved" in caplog.text and "refresh-1" not in caplog.text
    # The new token is used, and the server is not asked again. For a while nothing is tried.
    monkeypatch.setattr("tokenkeep.zoho._unsaved._PAUSE", 100.0)
    assert OAuthToken(id=saved).get_token() == "access-1" and len(errors) == 2
    started = monotonic()
    assert OAuthToken(id=saved).get_token() == "access-1" and monotonic() - started < 1 and len(errors) == 2
    adapter._unsaved._next = 0.0
    assert OAuthToken(id=saved).get_token() == "access-1" and fake.refreshes == 1
    assert store.find_token_by_id(saved).access_token == "old"  # type: ignore[union-attr]
    disk.repair()
    adapter._unsaved._next = 0.0
    assert OAuthToken(id=saved).get_token() == "access-1"
    assert adapter.unsaved == 0 and adapter.last_save_error is None
    with Keystore.open(path, passphrase()) as again:
        found = again.find_token_by_id(saved)
        assert found is not None and (found.access_token, found.refresh_token) == ("access-1", "refresh-1")


def test_a_sign_in_that_was_not_saved_is_saved_later(path: Path, fake: Fake, tmp_path: Path) -> None:
    store, disk = Keystore.create(path, passphrase()), Disk(path)
    adapter = TokenkeepStore(store)
    disk.break_down()
    token = sign_in()
    initialize(fake, token, adapter, tmp_path)
    assert token.get_token() == "access-1" and adapter.unsaved == 1
    # An object of another request finds it too, and does not send the grant token again.
    assert sign_in().get_token() == "access-1" and len(fake.requests) == 1
    assert not adapter.save_unsaved()
    disk.repair()
    assert adapter.save_unsaved() and adapter.unsaved == 0
    assert [shown(kept)["user"] for kept in adapter.get_tokens()] == ["ada"]


@pytest.mark.parametrize("kind", ["not_found", "invalid"])
def test_a_refresh_is_kept_while_the_file_is_away(kind: str, path: Path, fake: Fake, tmp_path: Path) -> None:
    """Nothing is at its path, or a directory."""
    store = Keystore.create(path, passphrase())
    saved = save_expired(store)
    adapter = TokenkeepStore(store)
    initialize(fake, OAuthToken(id=save_valid(store)), adapter, tmp_path)
    away = path.with_name("away.keep")

    def take_away() -> None:
        path.rename(away)
        if kind == "invalid":
            path.mkdir()

    fake.rotate, fake.during = True, take_away
    assert OAuthToken(id=saved).get_token() == "access-1"
    assert adapter.unsaved == 1 and isinstance(adapter.last_save_error, TokenkeepError)
    assert adapter.last_save_error.kind == kind and not adapter.save_unsaved()
    if kind == "invalid":
        path.rmdir()
    away.rename(path)
    assert adapter.save_unsaved()
    found = store.find_token_by_id(saved)
    assert found is not None and (found.access_token, found.refresh_token) == ("access-1", "refresh-1")


def test_a_store_that_was_rekeyed_is_opened_again(
    path: Path, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Keystore.create(path, passphrase()) as store:
        saved, valid = save_expired(store), save_valid(store)
    adapter = TokenkeepStore(lambda: Keystore.open(path, passphrase()))
    initialize(fake, OAuthToken(id=valid), adapter, tmp_path)

    mark = _refreshing._mark

    def rekey() -> None:
        with Keystore.open(path, passphrase()) as other:
            other.rekey(passphrase())

    # Between two calls: the second one does not show it.
    assert len(adapter.get_tokens()) == 2
    rekey()
    assert len(adapter.get_tokens()) == 2
    rekey()
    assert OAuthToken(id=valid).get_token() == "a"
    # During a refresh: the new token is kept, and saved in the store that is opened then.
    fake.rotate, fake.during = True, rekey
    assert OAuthToken(id=saved).get_token() == "access-1"
    fake.during = lambda: None
    assert adapter.save_unsaved() and fake.refreshes == 1
    with Keystore.open(path, passphrase()) as again:
        found = again.find_token_by_id(saved)
        assert found is not None and (found.access_token, found.refresh_token) == ("access-1", "refresh-1")
    # A token that is kept from before: the call that finds the store of no use saves it in the next one.
    disk = Disk(path)
    disk.break_down()
    with pytest.raises(SDKException):
        adapter.save_token(sign_in("grace", refresh_token="r"))
    disk.repair()
    rekey()
    assert adapter.unsaved == 1 and adapter.save_unsaved()
    # Between the find of a sign-in and its claim: no sign-in is sent without a claim.
    with monkeypatch.context() as patch:

        def rekeyed_once(store: TokenStore, query: Token) -> str:
            patch.undo()
            rekey()
            return mark(store, query)

        patch.setattr(_refreshing, "_mark", rekeyed_once)
        new = sign_in("alan")
        assert adapter.find_token(new) is None and hasattr(new, _refreshing._ATTRIBUTE)
    # A store that was opened a moment ago is not opened again, but a call that still has the one before uses it.
    monkeypatch.setattr("tokenkeep.zoho._store._REOPEN_PAUSE", 60.0)
    before, adapter._opened_at = adapter.store, float("-inf")
    rekey()

    def as_another_thread_opens_it(store: TokenStore) -> int:
        if store is before:
            assert len(adapter.get_tokens()) == 3 and adapter.store is not before
        return len(store.get_tokens())

    assert adapter._use(as_another_thread_opens_it) == 3
    rekey()
    with pytest.raises(SDKException):
        adapter.get_tokens()
    # A store that was given open is the application's to open again.
    given = TokenkeepStore(Keystore.open(path, passphrase()))
    rekey()
    with pytest.raises(SDKException):
        given.get_tokens()


def test_a_token_that_is_refused_is_not_kept(fake: Fake, tmp_path: Path) -> None:
    adapter = TokenkeepStore(MemoryStore())
    with pytest.raises(SDKException):
        adapter.save_token(OAuthToken(**CLIENT, refresh_token="x" * 70_000))
    assert adapter.unsaved == 0 and isinstance(adapter.last_save_error, tokenkeep.InvalidError)


def test_no_refresh_token_is_spent_that_cannot_be_saved(path: Path, fake: Fake, tmp_path: Path) -> None:
    store = Keystore.create(path, passphrase())
    saved, valid = save_expired(store), save_valid(store)
    initialize(fake, OAuthToken(id=valid), TokenkeepStore(store), tmp_path)
    path.with_name(path.name + ".claims").write_text("in the way")
    with pytest.raises(SDKException):
        OAuthToken(id=saved).get_token()
    assert fake.requests == [] and OAuthToken(id=valid).get_token() == "a"


def test_a_store_is_not_pickled_and_its_repr_has_no_secret() -> None:
    adapter = TokenkeepStore(MemoryStore())
    adapter.save_token(sign_in("canary", refresh_token="canary", grant_token="canary"))
    assert "canary" not in repr(adapter)
    for refused in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            refused(adapter)


def test_an_object_of_the_sdk_is_real_and_complete() -> None:
    adapter = TokenkeepStore(MemoryStore())
    adapter.save_token(sign_in("ada", refresh_token="r", access_token="a"))
    for token in (adapter.find_token_by_id("1"), adapter.get_tokens()[0]):
        assert type(token) is OAuthToken and vars(token).keys() == vars(sign_in()).keys()
    query = OAuthToken(user_signature=UserSignature("ada"))
    assert adapter.find_token(query) is query and query.get_refresh_token() == "r"
    assert query.get_expires_in() is None
    missing = OAuthToken(user_signature=UserSignature("grace"))
    assert adapter.find_token(missing) is None and missing.get_id() is None


def test_the_sdk_own_stores_are_moved_in(tmp_path: Path) -> None:
    from sdk import FileStore

    theirs = FileStore(str(tmp_path / "tokens.csv"))
    for user in ("ada", "grace"):
        theirs.save_token(sign_in(user, refresh_token="refresh-" + user))
    store = MemoryStore()
    assert len(import_file(store, tmp_path / "tokens.csv").added) == 2
    ours = TokenkeepStore(store)
    assert [shown(token) for token in ours.get_tokens()] == [shown(token) for token in theirs.get_tokens()]

    import sqlite3

    table = sqlite3.connect(":memory:")
    columns = "id, user_name, client_id, client_secret, refresh_token, access_token, grant_token, expiry_time"
    table.execute(f"create table oauthtoken ({columns}, redirect_url, api_domain)")
    table.execute("insert into oauthtoken values ('7', 'mary', 'c', 's', 'r', 'a', null, '1795000000000', null, null)")
    assert len(import_table(store, table.execute("select * from oauthtoken")).added) == 1
    cursor = table.execute("select access_token, expiry_time, user_name, client_id, id from oauthtoken")
    names = [column[0] for column in cursor.description]
    assert len(import_table(store, cursor, names, overwrite=True).overwritten) == 1
    found = store.find_stored(Token(user_name="mary"))
    assert found is not None and found.expires_at is not None and found.id == "7"


FORK = """
import os, sys
from pathlib import Path
from conftest import Place
from sdk import OAuthToken, SDKException, initialize
from tokenkeep.zoho import TokenkeepStore
url, kind, path, saved, how, directory = sys.argv[1:]
place = Place(kind, path)
adapter = TokenkeepStore(place.open() if how == "store" else place.open)
initialize(url, OAuthToken(id=saved), adapter, Path(directory))
OAuthToken(id=saved).get_token()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        try:
            OAuthToken(id=saved).get_token()
        except SDKException as error:
            said = "forked" if "forked" in str(error) else str(error)
        else:
            said = "token"
        os.write(1, f"{said}\\n".encode())  # in one call: the children write at the same time
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(OAuthToken(id=saved).get_token())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("how", ["store", "function"])
def test_forked_children(how: str, place: Place, fake: Fake, tmp_path: Path, python: Callable[..., Any]) -> None:
    with place.create() as store:
        saved = save_expired(store)
    out, err = python(FORK, fake.url, place.kind, place.path, saved, how, tmp_path).communicate(timeout=60)
    child = "forked\n" if how == "store" else "token\n"
    assert (out, fake.refreshes) == (3 * child + "access-1\n", 1), err


KILLED = """
import sys
from pathlib import Path
from conftest import Place
from sdk import initialize, sign_in
from tokenkeep.zoho import TokenkeepStore
url, kind, path, name, directory = sys.argv[1:]
adapter = TokenkeepStore(Place(kind, path).open_or_create())
for number in range(10_000):
    token = sign_in(f"{name}-{number}")
    initialize(url, token, adapter, Path(directory))
    if token.get_id() is not None:
        print(f"{name}-{number}", flush=True)
"""


def test_kills_lose_no_sign_in(place: Place, fake: Fake, tmp_path: Path, python: Callable[..., Any]) -> None:
    acknowledged = set()
    for run in range(6):
        process = python(KILLED, fake.url, place.kind, place.path, run, tmp_path)
        for _ in range(4):
            acknowledged.add(process.stdout.readline().strip())
        sleep(run * 0.0031)
        process.kill()
        acknowledged |= {line for line in process.stdout.read().split("\n")[:-1]}
        process.wait()
    with place.open() as store:
        if isinstance(store, Keystore):
            store.verify()
        users = {token.user_name for token in store.get_tokens()}
        assert acknowledged <= users and len(acknowledged) >= 24
        assert len(users) <= len(acknowledged) + 6
