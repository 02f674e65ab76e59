"""Tokens, stores, namespaces, transactions and key slots."""

from __future__ import annotations

import copy
import os
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from conftest import ADA, SERVERS, Place, passphrase

import tokenkeep
from tokenkeep import (
    External,
    KdfParams,
    Keychain,
    Keystore,
    MemoryStore,
    Passphrase,
    RecoveryKey,
    SealedStore,
    Token,
    TokenStore,
)


def test_the_six_operations(store: TokenStore) -> None:
    saved = store.save_token(ADA.replace(access_token="a", refresh_token="r", expires_in=3600))
    found = store.find_stored(ADA)
    assert found is not None and (found.id, found.access_token, found.revision) == (saved, "a", 1)
    assert store.find_token_by_id(saved) == found
    completed = store.find_token(ADA.replace(api_domain="https://x"))
    assert completed is not None and (completed.access_token, completed.api_domain) == ("a", "https://x")
    assert store.get_tokens() == [found]
    assert store.delete_token(saved) is True and store.delete_token(saved) is False
    assert store.find_stored(ADA) is None and store.find_token(ADA) is None and store.find_token_by_id(saved) is None
    store.save_token(ADA.replace(access_token="a"))
    assert store.delete_tokens() == 1


def test_a_revision_is_saved_over_once(store: TokenStore) -> None:
    store.save_token(ADA.replace(access_token="a"))
    read = store.find_stored(ADA)
    assert read is not None and read.id is not None
    replaced = store.replace_token(read.replace(access_token="b"))
    assert replaced.revision == 2
    with pytest.raises(tokenkeep.ConflictError):
        store.replace_token(read)
    with pytest.raises(tokenkeep.ConflictError):
        store.delete_token_if(read.id, 1)
    store.save_token(read.without_revision().replace(access_token="c"))
    assert store.delete_token_if(read.id, 3)


def test_expiry_has_three_states(store: TokenStore) -> None:
    at = datetime(2031, 5, 4, 3, 2, 1, 123000, tzinfo=timezone(timedelta(hours=5)))
    store.save_token(ADA.replace(access_token="a", expires_at=at))
    store.save_token(ADA.replace(access_token="b"))
    found = store.find_stored(ADA)
    assert found is not None and found.expires_at == at and found.expires_at.tzinfo is timezone.utc
    store.save_token(ADA.replace(access_token="c", expires_in=None))
    found = store.find_stored(ADA)
    assert found is not None and found.expires_at is None and found.remaining() is None and not found.is_expired()


def test_token_has_every_field() -> None:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    fields = {
        **{name: name for name in ("id", "user_name", "client_id", "client_secret", "refresh_token", "access_token")},
        **{name: name for name in ("grant_token", "id_token", "redirect_url", "api_domain", "token_type")},
        **{name: now for name in ("expires_at", "received_at", "refresh_expires_at", "rejected_at", "retry_at")},
        **{"failed_refreshes": 2, "scopes": ("a", "b"), "attributes": {"k": "v"}},
    }
    token = Token(**fields)  # type: ignore[arg-type]
    assert {name: getattr(token, name) for name in fields} == fields
    assert token.replace() == token and token.replace(access_token=None).access_token is None
    kept = token.replace(received_at=None, refresh_expires_at=None, rejected_at=None, retry_at=None, attributes=None)
    assert kept == token and token.replace(expires_at=None).expires_at is None
    added = token.replace(attributes=MappingProxyType({"l": "w"}), scopes=None)
    assert (added.attributes, added.scopes) == ({"k": "v", "l": "w"}, ())
    assert Token(expires_in=timedelta(seconds=60)).remaining(now) is not None


def test_a_token_is_frozen_and_refuses_what_it_does_not_know() -> None:
    with pytest.raises(AttributeError):
        ADA.user_name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Token(user="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Token("x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="aware"):
        Token(expires_at=datetime(2031, 1, 1))
    with pytest.raises(TypeError):
        Token(scopes="a b")
    with pytest.raises(ValueError):
        Token(expires_in=-1)


def test_repr_shows_no_secret_and_no_user(store: TokenStore, path: Path) -> None:
    canary = "canary"
    secrets = ("user_name", "client_secret", "refresh_token", "access_token", "grant_token", "id_token")
    token = Token(**{name: canary + name for name in secrets}, attributes={canary: canary})  # type: ignore[arg-type]
    key = RecoveryKey.generate()
    store.save_token(token)
    begun = store.begin_refresh(Token(user_name="canaryuser_name"), tokenkeep.Need.now())
    with pytest.raises(tokenkeep.InvalidError) as error:
        store.save_token(Token(user_name=canary))
    for shown in (token, store, Passphrase(canary), begun, error.value, tokenkeep.Answer.token(token)):
        assert canary not in repr(shown) + str(shown)
    assert key.expose_secret() not in repr(key) and repr(key) == "RecoveryKey(***)"


def test_nothing_with_a_secret_is_pickled_or_copied(store: TokenStore) -> None:
    store.save_token(ADA.replace(access_token="a", refresh_token="r"))
    claim = store.begin_refresh(ADA, tokenkeep.Need.now())
    external = External("x", create=lambda slot, key: b"", open=lambda slot, data, key: None)
    kinds = (ADA, store, Passphrase("x"), Keychain("s"), RecoveryKey.generate(), external, claim, store.transaction())
    for value in kinds:
        for refused in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                refused(value)


def test_a_transaction_is_all_or_nothing(store: TokenStore) -> None:
    with store.transaction() as transaction:
        saved = transaction.save_token(ADA.replace(access_token="a"))
        assert transaction.find_stored(ADA) is not None
        with pytest.raises(tokenkeep.InvalidError, match="in a transaction"):
            store.find_stored(ADA)
    assert store.find_token_by_id(saved) is not None
    with pytest.raises(ZeroDivisionError):
        with store.transaction() as transaction:
            assert transaction.delete_tokens() == 1
            raise ZeroDivisionError
    assert len(store.get_tokens()) == 1
    with pytest.raises(tokenkeep.InvalidError):
        transaction.get_tokens()
    with store.transaction() as transaction:
        assert transaction.delete_token_if(saved, 1)
        transaction.namespace("other").save_token(ADA.replace(access_token="b"))
    assert store.namespace("other").get_tokens() != [] and store.get_tokens() == []


def test_a_transaction_that_nobody_ends_is_undone(sealed: SealedStore) -> None:
    transaction = sealed.transaction()
    transaction.__enter__().save_token(ADA.replace(access_token="a"))
    del transaction
    assert sealed.get_tokens() == []
    with pytest.raises(tokenkeep.InvalidError):
        sealed.transaction().__enter__().__enter__()


def test_endless_waits_are_accepted(place: Place) -> None:
    endless = float("inf")
    options: dict[str, Any] = {"lock_timeout" if place.kind == "file" else "timeout": endless}
    if place.kind in SERVERS:
        options |= {"connect_timeout": endless, "statement_timeout": endless}
    with place.create(**options) as store:
        version = store.version()
        store.save_token(ADA.replace(access_token="a", refresh_token="r", expires_in=endless, refresh_expires_in=1e300))
        assert store.wait_for_change(version, endless) is not None
        need = tokenkeep.Need.remaining(endless, timeout=endless, trusted_for=endless)
        assert not isinstance(store.begin_refresh(ADA, need), tokenkeep.SignInAgain)


def test_namespaces_do_not_meet(sealed: SealedStore) -> None:
    google = sealed.namespace("google")
    google.save_token(ADA.replace(access_token="a"))
    assert sealed.get_tokens() == [] and sealed.namespaces() == ["google"] and google.name == "google"
    with pytest.raises(tokenkeep.InvalidError):
        sealed.namespace("x" * 257)
    with sealed.transaction() as transaction:
        with pytest.raises(tokenkeep.InvalidError):
            transaction.namespace("x" * 257).get_tokens()


def test_a_closed_store_says_so(place: Place) -> None:
    store = place.create()
    namespace = store.namespace("n")
    with store:
        assert not store.closed
    store.close()
    assert store.closed
    for call in (store.get_tokens, namespace.get_tokens, store.version, store.__enter__):
        with pytest.raises(tokenkeep.ReopenError, match="closed"):
            call()


def test_a_store_opens_with_what_it_has_a_slot_for(place: Place) -> None:
    paper = RecoveryKey.generate(label="paper")
    with place.create() as store:
        slot = store.add_slot(paper)
        assert [(slot.kind, slot.label) for slot in store.slots()] == [("passphrase", ""), ("recovery_key", "paper")]
        opened_by = store.opened_by()
        assert opened_by is not None and opened_by.needs_upgrade and opened_by.kdf == KdfParams.MIN
        assert store.try_unlock(paper).id == slot
    typed = RecoveryKey(bytearray(paper.expose_secret().lower().encode()))
    with pytest.raises(tokenkeep.WrongSecretError) as error:
        place.open([passphrase("wrong"), RecoveryKey.generate()])
    assert [(method, type(why)) for method, why in error.value.failures] == [
        ("passphrase", tokenkeep.WrongSecretError),
        ("recovery key", tokenkeep.WrongSecretError),
    ]
    with place.open((passphrase("wrong"), typed)) as store:
        replaced = store.replace_slot(slot, RecoveryKey.generate())
        store.change_passphrase(passphrase(), passphrase("new"))
        store.remove_slot(replaced)
        store.rekey(passphrase("new"))
        with pytest.raises(tokenkeep.NoSuchItemError):
            store.remove_slot(replaced)
        with pytest.raises(tokenkeep.InvalidError):
            store.remove_slot("x")
    with pytest.raises(tokenkeep.NoKeySlotError):
        place.open(typed)
    place.open_or_create(Passphrase(bytearray(b"new"))).close()


def test_options_of_a_store(path: Path) -> None:
    with Keystore.open_or_create(path, passphrase(), lock_timeout=None, max_file_len=5000) as store:
        with pytest.raises(tokenkeep.InvalidError, match="5,?000"):
            store.save_token(ADA.replace(access_token="a" * 5000))
    for call in (Keystore.create, Keystore.open, Keystore.open_or_create):
        with pytest.raises(TypeError, match="maximum"):
            call(path, passphrase(), maximum=1)  # type: ignore[call-arg]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a directory away")
def test_a_directory_of_another_user_is_an_option(path: Path) -> None:
    os.chown(path.parent, 12345, 12345)
    with pytest.raises(PermissionError):
        Keystore.create(path, passphrase(), any_owner=False)
    Keystore.create(path, passphrase(), any_owner=True).close()


def test_care_of_a_store(keystore: Keystore, tmp_path: Path) -> None:
    keystore.save_token(ADA.replace(access_token="a"))
    keystore.verify()
    keystore.check_writable()
    keystore.backup_to(tmp_path / "backup.keep")
    assert Keystore.verify_file(tmp_path / "backup.keep").generation == 2
    status = keystore.status()
    assert (status.tokens, status.path, status.not_writable) == (1, str(keystore.path), None)
    assert "tokens:      1" in str(status)
    assert (status.journal.records, status.journal.is_torn) == (1, False) and status.journal.len == 4096
    keystore.compact()
    assert keystore.status().journal == Keystore.verify_file(tmp_path / "backup.keep").journal
    with pytest.raises(FileExistsError):
        keystore.backup_to(tmp_path / "backup.keep")
    assert Keystore.set_aside(tmp_path / "backup.keep").exists()


def test_saves_before_damage_are_recovered(keystore: Keystore, path: Path, tmp_path: Path) -> None:
    for user in ("ada", "grace"):
        keystore.save_token(Token(user_name=user, access_token="a"))
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(tokenkeep.DamagedError):
        Keystore.open(path, passphrase())
    with Keystore.recover_before_damage(path, passphrase(), tmp_path / "recovered.keep") as recovered:
        assert [token.user_name for token in recovered.get_tokens()] == ["ada"]
    assert path.read_bytes() == damaged


def test_prune_deletes_what_cannot_be_refreshed(store: TokenStore) -> None:
    store.save_token(ADA.replace(access_token="a", expires_in=0))
    assert store.prune() == 1 and store.prune(rejected=True) == 0


def test_a_change_is_waited_for(sealed: SealedStore, place: Place) -> None:
    version = sealed.version()
    assert sealed.wait_for_change(version, 0.01) is None
    with place.open() as other:
        other.save_token(ADA.replace(access_token="a"))
    changed = sealed.wait_for_change(version, timedelta(seconds=10))
    assert changed is not None and changed != version and hash(changed) == hash(sealed.version())


def test_import_of_a_token_file_and_of_rows(store: TokenStore, tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    file.write_text("id,user_name,client_id,access_token,expiry_time\n7,ada,c,a,1795000000000\n8,grace,c,b,tomorrow\n")
    with pytest.raises(tokenkeep.InvalidError, match="line 3, column expiry_time"):
        tokenkeep.import_zoho_csv(store, file)
    report = tokenkeep.import_zoho_csv(store, file, skip_bad_rows=True)
    assert [row.id for row in report.added] == ["7"] and [row.line for row in report.skipped] == [3]
    assert repr(report) == "ImportReport(added=1, overwritten=0, kept=0, skipped=1)"
    rows = [(7, "ada", "c", "z", None), (None, "grace", "c", "b", 1795000000000)]
    columns = ["id", "user_name", "client_id", "access_token", "expiry_time"]
    report = tokenkeep.import_zoho_rows(store, columns, iter(rows))
    assert (len(report.kept), len(report.added)) == (1, 1)
    assert len(tokenkeep.import_zoho_rows(store, columns, rows, overwrite=True).overwritten) == 2
    with pytest.raises(tokenkeep.InvalidError, match="oauthtoken"):
        tokenkeep.import_zoho_rows(store, ["nonsense"], rows)
