"""The exceptions: one class for each kind of error, by what a caller does next."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing takes milliseconds
if TYPE_CHECKING:
    from datetime import datetime

    from ._native import Token, TokenStore, UnsavedToken


class TokenkeepError(Exception):
    """An error of tokenkeep. Its text says what happened, where, and what to do, and has no secret and no user name."""

    #: The kind of the error, such as "busy".
    kind: str = "other"
    #: Whether the same call may succeed later although nobody changes anything.
    retryable: bool = False
    #: The file or directory that the error is about.
    path: object = None

    def __str__(self) -> str:
        # OSError has a form of its own.
        return str(self.args[0]) if self.args else ""


class NotFoundError(TokenkeepError):
    """There is no such file, directory, token or key slot; or no such database, or no store in it."""

    kind = "not_found"


class NoSuchFileError(NotFoundError, FileNotFoundError):
    """There is no such file or directory."""


class NoSuchItemError(NotFoundError, LookupError):
    """There is no such token, key slot or orphaned key."""


class AlreadyExistsError(TokenkeepError, FileExistsError):
    """There is already something at the path."""

    kind = "already_exists"


class DamagedError(TokenkeepError):
    """The file is damaged, or is not a keystore: restore it from a backup."""

    kind = "damaged"


class UnsupportedError(TokenkeepError):
    """This version, or this platform, cannot do it."""

    kind = "unsupported"


class WrongSecretError(TokenkeepError):
    """The passphrase or the recovery key does not open the keystore: ask again."""

    kind = "wrong_secret"
    #: Of `open` with several unlock methods: the method and the error of each.
    failures: list[tuple[str, TokenkeepError]]


class KeychainError(TokenkeepError):
    """The operating system's keychain did not give or take the key."""

    kind = "keychain"
    failures: list[tuple[str, TokenkeepError]]


class ExternalKeyError(TokenkeepError):
    """A function of an External did not give or take the key: see its `last_error`."""

    kind = "external"
    failures: list[tuple[str, TokenkeepError]]


class NoKeySlotError(TokenkeepError, LookupError):
    """The keystore has no key slot for the unlock method: use another one."""

    kind = "no_key_slot"
    failures: list[tuple[str, TokenkeepError]]


class PermissionsError(TokenkeepError, PermissionError):
    """The permissions of a file or directory are in the way."""

    kind = "permission"


class BusyError(TokenkeepError, TimeoutError):
    """Another thread or process is at work, or a server asked to wait: try again."""

    kind = "busy"
    #: When the next refresh may be tried, if the last one failed.
    until: datetime | None = None


class ConflictError(TokenkeepError):
    """The stored token may be another than the one that was read: read it again, then decide."""

    kind = "conflict"


class ReopenError(TokenkeepError):
    """This store object cannot be used any more: open the keystore again. After a fork, in the child."""

    kind = "reopen"


class InvalidError(TokenkeepError, ValueError):
    """The call asks for something that a store never does."""

    kind = "invalid"


class IncompleteError(TokenkeepError):
    """The change was made, or may have been made, but its last step failed or its result is unknown: read again."""

    kind = "incomplete"
    #: The id of the token that was saved.
    id: str | None = None


class OperatingSystemError(TokenkeepError, OSError):
    """The operating system refused: no space, no memory, a failing disk."""

    kind = "system"


class InternalError(TokenkeepError, RuntimeError):
    """A bug in tokenkeep: please report it."""

    kind = "internal"


class OtherError(TokenkeepError):
    """An error of an application's own function."""

    kind = "other"


class RefreshError(TokenkeepError):
    """A token was not refreshed. `kind` is that of the cause.

    If the server has sent a new token that was not saved, this error has it, and holds the claim: so call retry() or
    close(), and do not keep the error.
    """

    #: "claim", "request" or "save": the step that failed.
    step: str = "claim"
    _unsaved: UnsavedToken | None = None

    @property
    def token(self) -> Token | None:
        """The new token that was not saved."""
        return None if self._unsaved is None else self._unsaved.token

    def retry(self, store: TokenStore | None = None) -> Token:
        """Tries again to save the new token; in `store`, if the keystore had to be opened again."""
        if self._unsaved is None:
            raise InvalidError("there is no new token to save")
        return self._unsaved.retry(store)

    def close(self) -> None:
        """Gives the new token and the claim up."""
        if self._unsaved is not None:
            self._unsaved.close()
