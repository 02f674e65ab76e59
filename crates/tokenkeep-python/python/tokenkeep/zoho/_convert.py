"""The SDK's token objects and tokenkeep's tokens."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.user_signature import UserSignature

from .._native import Token

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def token_of(given: Any) -> Token:
    """The fields that the SDK's object has. An empty text counts as none, as in the SDK's own stores."""
    signature = given.get_user_signature()
    fields: dict[str, Any] = {
        "id": given.get_id(),
        "user_name": None if signature is None else signature.get_name(),
        "client_id": given.get_client_id(),
        "client_secret": given.get_client_secret(),
        "refresh_token": given.get_refresh_token(),
        "access_token": given.get_access_token(),
        "grant_token": given.get_grant_token(),
        "redirect_url": given.get_redirect_url(),
        "api_domain": given.get_api_domain(),
    }
    expiry = given.get_expires_in()
    if expiry:
        fields["expires_at"] = _EPOCH + int(expiry) * _MILLISECOND
    return Token(**{name: value for name, value in fields.items() if value})


def complete(given: Any, stored: Token) -> None:
    """Sets the fields of the SDK's object that are None, and no other."""
    if given.get_id() is None:
        given.set_id(stored.id)
    if given.get_user_signature() is None and stored.user_name is not None:
        given.set_user_signature(UserSignature(stored.user_name))
    if given.get_client_id() is None:
        given.set_client_id(stored.client_id)
    if given.get_client_secret() is None:
        given.set_client_secret(stored.client_secret)
    if given.get_refresh_token() is None:
        given.set_refresh_token(stored.refresh_token)
    if given.get_access_token() is None:
        given.set_access_token(stored.access_token)
    if given.get_grant_token() is None:
        given.set_grant_token(stored.grant_token)
    if given.get_expires_in() is None and stored.expires_at is not None:
        given.set_expires_in(str((stored.expires_at - _EPOCH) // _MILLISECOND))
    if given.get_redirect_url() is None:
        given.set_redirect_url(stored.redirect_url)
    if given.get_api_domain() is None:
        given.set_api_domain(stored.api_domain)


def new_object(stored: Token) -> Any:
    """A real object of the SDK for a stored token."""
    # The constructor asks for some field, and accepts any id.
    made = OAuthToken(id=stored.id or "")
    made.set_id(None)
    complete(made, stored)
    return made
