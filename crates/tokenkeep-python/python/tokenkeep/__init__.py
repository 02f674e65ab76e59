"""OAuth tokens encrypted in one file, which threads and processes share, and refresh once.

>>> store = Keystore.open_or_create("tokens.keep", Passphrase(bytearray(b"...")))
>>> store.save_token(Token(user_name="ada", client_id="1000.ABC", refresh_token="1000.refresh"))
>>> store.find_stored(Token(user_name="ada", client_id="1000.ABC"))

A find takes some microseconds. Every other call may wait: other threads run meanwhile, and Ctrl-C ends the wait. The
call itself then goes on in a thread of its own, and may still take effect. In asyncio code call finds directly, every
other call with asyncio.to_thread, and tokenkeep.aio.refresh_with for a refresh.
"""

import os as _os

from ._errors import (
    AlreadyExistsError,
    BusyError,
    ConflictError,
    DamagedError,
    ExternalKeyError,
    IncompleteError,
    InternalError,
    InvalidError,
    KeychainError,
    NoKeySlotError,
    NoSuchFileError,
    NoSuchItemError,
    NotFoundError,
    OperatingSystemError,
    OtherError,
    PermissionsError,
    RefreshError,
    ReopenError,
    TokenkeepError,
    UnsupportedError,
    WrongSecretError,
)
from ._native import (
    Answer,
    Claim,
    FileStatus,
    Fresh,
    ImportedRow,
    ImportReport,
    JournalStatus,
    KdfParams,
    Keychain,
    KeySlot,
    Keystore,
    MemoryStore,
    Namespace,
    Need,
    Passphrase,
    RecoveryKey,
    SignInAgain,
    SkippedRow,
    Stale,
    Status,
    Token,
    TokenStore,
    Transaction,
    UnsavedToken,
    Version,
    _close_claims,
    harden_process,
    import_zoho_csv,
    import_zoho_rows,
)

if hasattr(_os, "register_at_fork"):
    # A copy of a claim in the child would keep the token locked after the parent has died.
    _os.register_at_fork(after_in_child=_close_claims)

__all__ = [
    "AlreadyExistsError",
    "Answer",
    "BusyError",
    "Claim",
    "ConflictError",
    "DamagedError",
    "ExternalKeyError",
    "FileStatus",
    "Fresh",
    "ImportReport",
    "ImportedRow",
    "IncompleteError",
    "InternalError",
    "InvalidError",
    "JournalStatus",
    "KdfParams",
    "KeySlot",
    "Keychain",
    "KeychainError",
    "Keystore",
    "MemoryStore",
    "Namespace",
    "Need",
    "NoKeySlotError",
    "NoSuchFileError",
    "NoSuchItemError",
    "NotFoundError",
    "OperatingSystemError",
    "OtherError",
    "Passphrase",
    "PermissionsError",
    "RecoveryKey",
    "RefreshError",
    "ReopenError",
    "SignInAgain",
    "SkippedRow",
    "Stale",
    "Status",
    "Token",
    "TokenStore",
    "TokenkeepError",
    "Transaction",
    "UnsavedToken",
    "UnsupportedError",
    "Version",
    "WrongSecretError",
    "harden_process",
    "import_zoho_csv",
    "import_zoho_rows",
]
