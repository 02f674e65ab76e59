"""Each call returns what the SDK's own file store returns.

The exceptions, and why the file store is wrong there, are in the list EXCEPTIONS: a test for each is below.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ADA, Place, claimed, passphrase
from fake import Fake
from sdk import CLIENT, FileStore, OAuthToken, SDKException, UserSignature, call_api, initialize, shown, sign_in

from tokenkeep import Keystore, MemoryStore, SqlStore
from tokenkeep.zoho import TokenkeepStore

#: What the file store does, and what TokenkeepStore does. Each has a test of that name.
EXCEPTIONS = {
    "revoke": "8.0: revoke(id) revokes nothing, because find_token does not look at the id. Here it revokes.",
    "two_clients": "one user at two clients: the second sign-in overwrites the first, and mixes their secrets. Here "
    "they are two tokens; a query that names neither client nor id raises SDKException.",
    "other_client": "a save with the id of another client's token mixes the two. Here it raises SDKException.",
    "odd_ids": "an id that is no number breaks every later sign-in. Here it is kept.",
    "line_end": "a text with a line end is read back as another one. Here it is the same.",
    "reused_id": "the id of the last token, once deleted, is given to the next one. Here no id is used again.",
    "refreshed_elsewhere": "while another process refreshes a token, a find returns the expired one, and the SDK "
    "refreshes it too. Here it waits, and then raises SDKException.",
}


def open_file(directory: Path) -> Any:
    return FileStore(str(directory / "tokens.csv"))


def open_keystore(directory: Path) -> Any:
    return TokenkeepStore(Keystore.open_or_create(directory / "tokens.keep", passphrase()))


def open_sqlite(directory: Path) -> Any:
    return TokenkeepStore(Place("sqlite", directory / "tokens.db").open_or_create())


def open_namespace(directory: Path) -> Any:
    return TokenkeepStore(Keystore.open_or_create(directory / "tokens.keep", passphrase()).namespace("zoho"))


_MEMORY: dict[Path, MemoryStore] = {}


def open_memory(directory: Path) -> Any:
    return TokenkeepStore(_MEMORY.setdefault(directory, MemoryStore()))


Open = Callable[[Path], Any]
Scenario = Callable[[Fake, Path, Open], list[Any]]


def result(call: Callable[[], Any]) -> Any:
    """What a call returns, or that it raises the SDK's exception."""
    try:
        return shown(call())
    except SDKException:
        return "SDKException"


def signing_in(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    found = []
    for fields in ({"grant_token": "grant"}, {"refresh_token": "refresh"}, {"access_token": "access"}):
        store = open_store(directory)
        # The SDK itself refuses a user with an access token and nothing else.
        token = sign_in(None if "access_token" in fields else "ada " + next(iter(fields)), **fields)
        initialize(fake, token, store, directory)
        found += [call_api(), shown(token), call_api(), shown(token)]
    found += [shown(token) for token in open_store(directory).get_tokens()]
    return found + [fake.requests, fake.api_calls]


def without_a_user(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    found: list[Any] = []
    for fields in ({"grant_token": "grant"}, {"refresh_token": "refresh"}):
        token = sign_in(None, **fields)
        initialize(fake, token, open_store(directory), directory)
        found += [call_api(), shown(token)]
        again = sign_in(None, **fields)
        initialize(fake, again, open_store(directory), directory)
        found += [call_api(), shown(again)]
    return found + [fake.requests]


def restarting(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    token = sign_in()
    initialize(fake, token, open_store(directory), directory)
    found = [call_api()]
    by_id = OAuthToken(id=token.get_id())
    initialize(fake, by_id, open_store(directory), directory)
    found += [call_api(), shown(by_id)]
    by_user = sign_in("ada")
    initialize(fake, by_user, open_store(directory), directory)
    return found + [call_api(), shown(by_user), fake.requests]


def expiring(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    fake.lifetime = 3
    token = sign_in()
    initialize(fake, token, open_store(directory), directory)
    found: list[Any] = []
    for _ in range(3):
        found += [call_api(), shown(token)]
    fake.lifetime = 3600
    by_id = OAuthToken(id=token.get_id())
    initialize(fake, by_id, open_store(directory), directory)
    found += [call_api(), shown(by_id), call_api(), shown(by_id)]
    return found + [[form["grant_type"] for form in fake.requests]]


def being_refused(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    fake.lifetime = 3
    token = sign_in()
    initialize(fake, token, open_store(directory), directory)
    found = [result(token.get_token)]
    fake.error = "invalid_code"
    found += [result(token.get_token), result(token.get_token)]
    fake.error = None
    return found + [result(token.get_token), len(fake.requests), shown(token)]


def two_users(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    found: list[Any] = []
    for user in ("ada", "grace", "ada"):
        token = sign_in(user)
        initialize(fake, token, open_store(directory), directory)
        found += [call_api(), shown(token)]
    return found + [len(fake.requests), fake.api_calls]


def removing(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    ada, grace = sign_in("ada"), sign_in("grace")
    store = open_store(directory)
    for token in (ada, grace):
        initialize(fake, token, store, directory)
        call_api()
    found = [ada.remove(), ada.remove(), OAuthToken(id="99").remove(), shown(ada), result(ada.get_token)]
    found += [shown(token) for token in store.get_tokens()]
    by_id = OAuthToken(id=grace.get_id())
    found += [result(by_id.get_token), grace.remove(), result(OAuthToken(id="2").get_token), store.get_tokens()]
    return found


def listing(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    store = open_store(directory)
    found = [store.get_tokens(), store.delete_tokens()]
    for user in ("ada", "grace"):
        found += [result(lambda: store.save_token(sign_in(user)))]
    found += [shown(token) for token in store.get_tokens()]
    return found + [store.delete_tokens(), store.get_tokens()]


def odd_arguments(fake: Fake, directory: Path, open_store: Open) -> list[Any]:
    store = open_store(directory)
    by_id = OAuthToken(id="7")
    found = [store.find_token("x"), store.save_token("x"), result(lambda: store.save_token(by_id))]
    found += [result(lambda: store.find_token_by_id(id)) for id in ("", "7", None)]
    found += [result(lambda: store.delete_token(id)) for id in ("", "7", None)]
    only_user = OAuthToken(user_signature=UserSignature("ada"))
    found += [store.find_token(only_user), shown(only_user), result(lambda: store.save_token(only_user))]
    found += [
        result(lambda: store.save_token(OAuthToken(id="7", access_token="a"))),
        shown(store.find_token_by_id("7")),
    ]
    return found


OPEN = [open_keystore, open_memory, open_namespace] + [open_sqlite] * ("sqlite" in SqlStore.DATABASES)


@pytest.mark.parametrize("open_store", OPEN)
@pytest.mark.parametrize(
    "scenario",
    [
        signing_in,
        without_a_user,
        restarting,
        expiring,
        being_refused,
        two_users,
        removing,
        listing,
        odd_arguments,
    ],
)
def test_a_scenario_is_the_same(scenario: Scenario, open_store: Open, tmp_path: Path) -> None:
    runs = []
    for name, opened in (("theirs", open_file), ("ours", open_store)):
        (tmp_path / name).mkdir()
        with Fake() as fake:
            runs.append(scenario(fake, tmp_path / name, opened))
    theirs, ours = runs
    assert ours == theirs


class Both:
    """A random sequence of calls, on two stores."""

    def __init__(self, seed: int, stores: tuple[Any, Any]) -> None:
        self.random = random.Random(seed)
        self.stores = stores
        #: Ids in the order in which they were given: the two stores choose different ones after a delete.
        self.ids: list[tuple[str, str]] = []
        self.calls: list[str] = []

    def objects(self) -> tuple[Any, Any]:
        """Two equal objects of an application: each user has one client and tokens of its own."""
        pick = self.random
        number = pick.randrange(4)
        fields: dict[str, Any] = {}
        kind = pick.randrange(4)
        if kind == 0:
            fields = {"user_signature": UserSignature(f"user-{number}"), "refresh_token": f"refresh-{number}"}
        elif kind == 1:
            fields = {"refresh_token": f"refresh-{number}"}
        elif kind == 2:
            fields = {"grant_token": f"grant-{number}"}
        else:
            fields = {"access_token": f"access-{number}-{pick.randrange(2)}"}
        if kind != 3 or pick.random() < 0.5:
            fields |= CLIENT
        if kind == 0 and pick.random() < 0.7:
            fields["access_token"] = f"access-{number}-{pick.randrange(2)}"
        made = OAuthToken(**fields), OAuthToken(**fields)
        if pick.random() < 0.3:
            for one in made:
                one.set_api_domain("https://api.example.com")
        if fields.get("access_token") and pick.random() < 0.7:
            for one in made:
                one.set_expires_in("1999999999999")
        self.calls.append(str({name: str(value) for name, value in fields.items()}))
        return made

    def same(self, one: Any, other: Any) -> None:
        theirs, ours = shown(one), shown(other)
        if isinstance(theirs, dict) and isinstance(ours, dict) and theirs["id"] and ours["id"]:
            pair = theirs.pop("id"), ours.pop("id")
            known = [known for known in self.ids if pair[0] == known[0] or pair[1] == known[1]]
            assert not known or pair in known, "another token"
            if not known:
                self.ids.append(pair)
        assert ours == theirs

    def step(self) -> None:
        theirs, ours = self.stores
        kind = self.random.randrange(10)
        if kind < 5:
            one, other = self.objects()
            self.calls.append("save")
            assert result(lambda: theirs.save_token(one)) == result(lambda: ours.save_token(other))
            self.same(one, other)
        elif kind < 7:
            one, other = self.objects()
            self.calls.append("find")
            self.same(theirs.find_token(one), ours.find_token(other))
            self.same(one, other)
        elif self.ids and kind == 7:
            pair = self.random.choice(self.ids)
            self.calls.append("find by id")
            found = []
            for store, id in zip(self.stores, pair):
                found.append(result(lambda: store.find_token_by_id(id)))
                found[-1] = found[-1] | {"id": None} if isinstance(found[-1], dict) else found[-1]
            assert found[0] == found[1]
        elif self.ids and kind == 8 and self.random.random() < 0.3:
            pair = self.random.choice(self.ids)
            self.calls.append("delete")
            deleted = [result(lambda: store.delete_token(id)) for store, id in zip(self.stores, pair)]
            assert deleted[0] == deleted[1]
            self.ids.remove(pair)
        else:
            self.calls.append("list")
            lists = [store.get_tokens() for store in self.stores]
            assert len(lists[0]) == len(lists[1])
            for one, other in zip(*lists):
                self.same(one, other)


@pytest.mark.parametrize("seed", range(30))
def test_random_calls_are_the_same(seed: int, tmp_path: Path) -> None:
    both = Both(seed, (open_file(tmp_path), TokenkeepStore(MemoryStore())))
    for _ in range(60):
        try:
            both.step()
        except AssertionError as error:
            raise AssertionError("; ".join(both.calls[-8:])) from error


# The exceptions.


def signed_in(store: Any, **fields: Any) -> Any:
    """An object whose tokens the store has."""
    made = OAuthToken(**CLIENT | {"access_token": "access", "refresh_token": "refresh"} | fields)
    store.save_token(made)
    return made


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Any, Any]:
    return open_file(tmp_path), open_keystore(tmp_path)


def test_revoke(stores: tuple[Any, Any], fake: Fake, tmp_path: Path) -> None:
    for store, revoked in zip(stores, ([], ["refresh-b"])):
        for name in ("a", "b"):
            signed_in(store, user_signature=UserSignature(name), refresh_token="refresh-" + name)
        token = OAuthToken(id="2")
        initialize(fake, token, store, tmp_path)
        if is_sdk_7():
            with pytest.raises(SDKException):
                token.revoke("2")  # 7.0 makes an object in revoke that its own constructor refuses
            continue
        assert token.revoke("2") is bool(revoked) and fake.revoked == revoked


def is_sdk_7() -> bool:
    return "OAuthToken()" in inspect.getsource(OAuthToken.revoke)


def test_two_clients(stores: tuple[Any, Any]) -> None:
    seen = []
    for store in stores:
        for client in ("one", "two"):
            user = {"user_signature": UserSignature("ada"), "client_id": client, "client_secret": client}
            signed_in(store, **user, refresh_token="refresh-" + client)
        seen.append([(token.get_client_id(), token.get_refresh_token()) for token in store.get_tokens()])
    assert seen == [[("two", "refresh-two")], [("one", "refresh-one"), ("two", "refresh-two")]]
    ada = OAuthToken(user_signature=UserSignature("ada"))
    assert stores[0].find_token(ada) is ada
    with pytest.raises(SDKException):
        stores[1].find_token(OAuthToken(user_signature=UserSignature("ada")))


def test_other_client(stores: tuple[Any, Any]) -> None:
    for store, mixes in zip(stores, (True, False)):
        token = signed_in(store)
        other = OAuthToken(id=token.get_id(), client_id="other", client_secret="s", refresh_token="theirs")
        assert (result(lambda: store.save_token(other)) is None) is mixes
        assert store.find_token_by_id(token.get_id()).get_client_id() == ("other" if mixes else CLIENT["client_id"])


def test_odd_ids(stores: tuple[Any, Any]) -> None:
    theirs, ours = stores
    for store in stores:
        signed_in(store, id="of the application")
    with pytest.raises(ValueError):
        signed_in(theirs, refresh_token="other")
    assert signed_in(ours, refresh_token="other").get_id() == "1"


def test_line_end(stores: tuple[Any, Any]) -> None:
    for store, same in zip(stores, (False, True)):
        url = "https://app.example.com/?a=1,2\r\nx"
        read = store.find_token_by_id(signed_in(store, redirect_url=url).get_id())
        assert (read.get_redirect_url() == url) is same


def test_reused_id(stores: tuple[Any, Any]) -> None:
    ids = []
    for store in stores:
        store.delete_token(signed_in(store).get_id())
        ids.append(signed_in(store).get_id())
    assert ids == ["1", "2"]


def test_refreshed_elsewhere(tmp_path: Path) -> None:
    theirs = open_file(tmp_path)
    expired = signed_in(theirs)
    expired.set_expires_in("1000")
    theirs.save_token(expired)
    assert theirs.find_token_by_id(expired.get_id()).get_expires_in() == "1000"

    with Keystore.create(tmp_path / "tokens.keep", passphrase()) as keystore:
        keystore.save_token(ADA.replace(access_token="access", refresh_token="refresh", expires_in=0))
        ours = TokenkeepStore(keystore, refresh_wait=0.2)
        with Keystore.open(tmp_path / "tokens.keep", passphrase()) as other, claimed(other):
            with pytest.raises(SDKException):
                ours.find_token_by_id("1")
        assert ours.find_token_by_id("1").get_access_token() == "access"


def test_every_exception_has_a_test() -> None:
    assert all("test_" + name in globals() for name in EXCEPTIONS)
