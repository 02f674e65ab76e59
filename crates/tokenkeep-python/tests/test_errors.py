"""Exceptions: their classes, what they carry, and that the SDK's or Python's own handlers catch them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import claimed, passphrase

import tokenkeep
from tokenkeep import KdfParams, Keystore, MemoryStore, Need, Passphrase, RecoveryKey, Token

ADA = Token(user_name="ada")


def test_every_class_has_the_base_and_its_python_class() -> None:
    pairs = {
        "NoSuchFileError": FileNotFoundError,
        "NoSuchItemError": LookupError,
        "AlreadyExistsError": FileExistsError,
        "NoKeySlotError": LookupError,
        "PermissionsError": PermissionError,
        "BusyError": TimeoutError,
        "InvalidError": ValueError,
        "OperatingSystemError": OSError,
        "InternalError": RuntimeError,
    }
    classes = [name for name in tokenkeep.__all__ if name.endswith("Error")]
    for name in classes:
        assert issubclass(getattr(tokenkeep, name), tokenkeep.TokenkeepError)
    for name, own in pairs.items():
        assert issubclass(getattr(tokenkeep, name), own)


def test_a_missing_file_names_its_path(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        Keystore.open(path, passphrase())
    assert isinstance(error.value, tokenkeep.NoSuchFileError)
    assert (error.value.path, error.value.kind) == (path, "not_found") and str(path) in str(error.value)


def test_a_wrong_passphrase_is_no_other_error(keystore: Keystore, path: Path) -> None:
    with pytest.raises(tokenkeep.WrongSecretError, match="try again") as error:
        Keystore.open(path, passphrase("wrong"))
    assert not error.value.retryable
    with pytest.raises(tokenkeep.WrongSecretError):
        Keystore.open(path, Passphrase(""))
    with pytest.raises(tokenkeep.WrongSecretError):
        RecoveryKey("TKR1-nonsense")


def test_a_damaged_file_is_refused(keystore: Keystore, path: Path) -> None:
    keystore.close()
    path.write_bytes(b"x" * 5000)
    with pytest.raises(tokenkeep.DamagedError):
        Keystore.open(path, passphrase())


def test_unsafe_permissions_are_a_permission_error(keystore: Keystore, path: Path) -> None:
    keystore.close()
    os.chmod(path, 0o644)
    with pytest.raises(PermissionError):
        Keystore.open(path, passphrase())
    Keystore.open(path, passphrase(), permission_checks=False).close()


def test_the_cause_is_chained(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    path = tmp_path / "locked" / "tokens.keep"
    with Keystore.create(path, passphrase()) as store:
        (tmp_path / "locked" / "tokens.keep.lock").unlink(missing_ok=True)
        (tmp_path / "locked" / "tokens.keep.lock").mkdir()
        with pytest.raises(tokenkeep.TokenkeepError) as error:
            store.save_token(ADA.replace(access_token="a"))
    assert isinstance(error.value, OSError) and isinstance(error.value.__cause__, OSError)
    assert error.value.errno == error.value.__cause__.errno


def test_the_cause_of_a_refresh_error_is_a_whole_one(keystore: Keystore, path: Path) -> None:
    keystore.save_token(ADA.replace(client_id="c", refresh_token="r", access_token="a", expires_in=0))
    claim = claimed(keystore, Need(timeout=0.1))
    claim.token()
    with Keystore.open(path, passphrase()) as other, other.transaction() as transaction:
        transaction.get_tokens()
        with pytest.raises(tokenkeep.RefreshError) as error:
            claim.complete(Token(access_token="b"))
    cause = error.value.__cause__
    assert isinstance(cause, tokenkeep.BusyError) and cause.retryable and cause.path == path
    assert (error.value.kind, error.value.step) == ("busy", "save")


@pytest.mark.parametrize("half", ["canary\ud800", "\ud800canary"])
def test_a_text_that_is_refused_is_not_in_the_error(half: str) -> None:
    for call in (
        lambda: Passphrase(half),
        lambda: RecoveryKey(half),
        lambda: Token(access_token=half),
        lambda: Token(attributes={"k": half}),
        lambda: tokenkeep.import_zoho_rows(MemoryStore(), ["user_name", "access_token"], [("ada", half)]),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert "canary" not in repr(error.value) + str(vars(error.value)) + str(getattr(error.value, "object", ""))


def test_no_lock_is_held_while_an_exception_is_made(path: Path, python: Callable[..., Any]) -> None:
    program = """
import sys
from conftest import claimed, passphrase, ADA
from tokenkeep import Keystore, _errors
def again(name, call):
    # Python code that runs while the exception is made, as a finalizer may.
    class Again(getattr(_errors, name)):
        def __init__(self, *args):
            super().__init__(*args)
            call()
    setattr(_errors, name, Again)
def raises(call):
    try:
        call()
    except _errors.TokenkeepError as error:
        assert type(error).__name__ == "Again", error
    else:
        raise SystemExit("no error")
store = Keystore.create(sys.argv[1], passphrase())
store.save_token(ADA.replace(refresh_token="r"))
claim = claimed(store)
claim.close()
transaction = store.transaction()
with transaction:
    pass
again("ConflictError", claim.close)
for call in (claim.token, claim.renew, claim.sign_in_again):
    raises(call)
again("InvalidError", lambda: transaction.__exit__(None, None, None))
raises(transaction.get_tokens)
store.close()
again("ReopenError", lambda: store.closed)
raises(store.get_tokens)
print("end")
"""
    running = python(program, path)
    try:
        assert running.communicate(timeout=60) == ("end\n", "")
    finally:
        running.kill()


def test_a_busy_store_is_a_timeout(keystore: Keystore, path: Path) -> None:
    with Keystore.open(path, passphrase(), lock_timeout=0.05) as other:
        with keystore.transaction() as transaction:
            transaction.get_tokens()
            with pytest.raises(TimeoutError) as error:
                other.save_token(ADA.replace(access_token="a"))
    assert isinstance(error.value, tokenkeep.BusyError) and error.value.retryable and error.value.until is None


def test_arguments_are_checked(path: Path) -> None:
    with pytest.raises(TypeError):
        Keystore.open(path, "a passphrase")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Passphrase(1)  # type: ignore[arg-type]
    with pytest.raises(UnicodeDecodeError) as error:
        Passphrase(b"canary\xff")
    assert "canary" not in str(error.value) and error.value.object == b""
    with pytest.raises(ValueError):
        KdfParams(1, 1, 1)
    with pytest.raises(ValueError):
        MemoryStore().save_token(ADA)
    assert repr(KdfParams()) == "KdfParams(memory_kib=65536, passes=3, lanes=4)"


def test_two_tokens_of_a_user_are_ambiguous() -> None:
    store = MemoryStore()
    store.save_token(ADA.replace(client_id="a", access_token="a"))
    store.save_token(ADA.replace(client_id="b", access_token="b"))
    with pytest.raises(tokenkeep.InvalidError, match="client_id"):
        store.find_stored(ADA)
