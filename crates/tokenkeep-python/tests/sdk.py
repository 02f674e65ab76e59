"""The SDK, set up to work with the local server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from fake import Fake
from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.api.logger import Logger
from zohocrmsdk.src.com.zoho.crm.api import HeaderMap, ParameterMap
from zohocrmsdk.src.com.zoho.crm.api.dc import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature
from zohocrmsdk.src.com.zoho.crm.api.users import UsersOperations

__all__ = ["FileStore", "OAuthToken", "SDKException", "UserSignature", "call_api", "initialize", "shown", "sign_in"]

CLIENT = {"client_id": "1000.CLIENT", "client_secret": "client-secret", "redirect_url": "https://app.example.com/cb"}


# Its message about a failed save has an argument too many, which pytest makes an error of.
logging.getLogger("SDKLogger").disabled = True


def initialize(url: str | Fake, token: Any, store: Any, directory: Path) -> None:
    url = url.url if isinstance(url, Fake) else url
    # As in a new program: 7.0 makes the first token of a second call with the store of the first call.
    Initializer.LOCAL.init = Initializer.initializer = None
    Initializer.initialize(
        environment=DataCenter.Environment(url, url + "/oauth/v2/token", url),
        token=token,
        store=store,
        logger=Logger.get_instance(level=Logger.Levels.ERROR, file_path=str(directory / "sdk.log")),
        resource_path=str(directory),
    )


def sign_in(user: str | None = "ada", **fields: Any) -> Any:
    """The object that an application makes for a sign-in."""
    fields = fields or {"grant_token": "grant"}
    made = OAuthToken(**CLIENT, **fields, find_user=False)
    if user is not None:
        made.set_user_signature(UserSignature(user))
    return made


def call_api() -> int:
    """One call of the API, through the SDK; its status."""
    status: int = UsersOperations().get_users(ParameterMap(), HeaderMap()).get_status_code()
    return status


def shown(token: Any) -> Any:
    """What an object of the SDK has."""
    if not isinstance(token, OAuthToken):
        return token
    signature = token.get_user_signature()
    expiry = token.get_expires_in()
    return {
        "id": token.get_id(),
        "user": None if signature is None else signature.get_name(),
        "client_id": token.get_client_id(),
        "client_secret": token.get_client_secret(),
        "refresh": token.get_refresh_token(),
        "access": token.get_access_token(),
        "grant": token.get_grant_token(),
        # Two runs have two times.
        "expiry": expiry if expiry is None else (type(expiry).__name__, len(expiry)),
        "redirect": token.get_redirect_url(),
        "domain": token.get_api_domain() and "domain",
    }
