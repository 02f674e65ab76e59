"""The token store for the Zoho CRM SDKs for Python, 8.0 and 7.0. Needs one of them: `tokenkeep[zoho]`.

>>> store = TokenkeepStore(Keystore.open_or_create("tokens.keep", Passphrase(bytearray(b"..."))))
>>> Initializer.initialize(environment=..., token=OAuthToken(...), store=store)
"""

from ._store import TokenkeepStore, import_file, import_table

__all__ = ["TokenkeepStore", "import_file", "import_table"]
