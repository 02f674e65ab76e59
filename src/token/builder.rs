//! The builder of a token, and the readers and setters of its texts.

use std::{
    collections::HashSet,
    fmt,
    time::{Duration, SystemTime},
};

use super::{Expiry, Fields, Stored, Token};
use crate::{
    id::{Origin, TokenId},
    secret::Secret,
    time::Millis,
};

/// Builds a [`Token`]. An empty text unsets its field in the builder. A [save](crate::TokenStore::save_token) keeps the
/// stored value of an unset field. A [replacement](crate::TokenStore::replace_token) clears it.
///
/// Each setter of a field that may be absent has a `maybe_` form that takes an `Option`, for responses with optional
/// fields. `None` leaves the field as it is, with one exception: [`maybe_expires_in`](Self::maybe_expires_in) and
/// [`maybe_expires_at`](Self::maybe_expires_at) make the expiry unknown, because a response that names no lifetime must
/// not inherit the one of the access token before.
///
/// Some fields belong to one access token or to one refresh token: [`received_at`](Self::received_at),
/// [`refresh_expires_at`](Self::refresh_expires_at), [`rejected_at`](Self::rejected_at), [`retry_at`](Self::retry_at)
/// and [`failed_refreshes`](Self::failed_refreshes). A save of another token clears those of the token before;
/// [`matching`](crate::matching) has the exact rules.
///
/// ```
/// # use std::time::{Duration, SystemTime};
/// # use tokenkeep::{MemoryStore, Token, TokenStore};
/// # let store = MemoryStore::new();
/// let (now, ada) = (SystemTime::now(), || Token::builder().user_name("ada"));
/// store.save_token(&ada().refresh_token("r1").refresh_expires_in(Duration::from_secs(86_400)).build())?;
/// store.save_token(&ada().retry_at(now + Duration::from_secs(30)).failed_refreshes(2).build())?;
/// let read = store.find_stored(&ada().build())?.unwrap();
/// assert!(read.refresh_expires_at().is_some() && read.failed_refreshes() == 2);
///
/// store.save_token(&read.to_builder().refresh_token("r2").build())?; // nothing is known of the new token
/// let read = store.find_stored(&ada().build())?.unwrap();
/// assert_eq!((read.refresh_expires_at(), read.retry_at(), read.failed_refreshes()), (None, None, 0));
/// # Ok::<(), tokenkeep::Error>(())
/// ```
///
/// The builder refuses nothing: a save checks whether a token can be stored, and its limits (64 KiB for a field, 256
/// KiB for a token).
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::Token;
///
/// struct Response {
///     access_token: String,
///     refresh_token: Option<String>,
///     expires_in: Option<u64>,
/// }
/// let response = Response { access_token: "a".into(), refresh_token: None, expires_in: Some(3600) };
///
/// let token = Token::builder()
///     .access_token(response.access_token)
///     .maybe_refresh_token(response.refresh_token)
///     .maybe_expires_in(response.expires_in.map(Duration::from_secs))
///     .build();
/// assert!(token.refresh_token().is_none() && token.expires_at().is_some());
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TokenBuilder(Fields);

/// The reader of a text field and its two setters, with one documentation.
macro_rules! texts {
    ($given:ty, $shown:ty, $as_shown:ident: $($(#[$doc:meta])+ $name:ident $maybe_name:ident;)+) => {
        impl Token {
            $($(#[$doc])+
            #[must_use]
            pub fn $name(&self) -> Option<&$shown> {
                self.fields().$name.$as_shown()
            })+
        }
        impl TokenBuilder {
            $($(#[$doc])+
            pub fn $name(mut self, $name: impl Into<$given>) -> Self {
                self.0.$name = Some($name.into()).filter(|text| !text.is_empty()).map(Into::into);
                self
            }

            $(#[$doc])+
            ///
            /// `None` leaves the field as it is.
            pub fn $maybe_name(self, $name: Option<impl Into<$given>>) -> Self {
                match $name {
                    Some(text) => self.$name(text),
                    None => self,
                }
            })+
        }
    };
}

texts! { String, str, as_deref:
    /// Whose token it is. User name and client id together identify a stored token. Names are compared byte for byte:
    /// `Ada@example.com` and `ada@example.com` are two users, and so are the composed and the decomposed form of `é`
    /// (NFC and NFD). An application that takes names from several sources normalizes them first, in saves and in
    /// queries.
    user_name maybe_user_name;
    /// The application's identifier at the authorization server (RFC 6749, 2.2). Never leave it out where one user
    /// signs in at two providers: it tells the two tokens apart.
    client_id maybe_client_id;
    /// Where the authorization server sends the user back to (RFC 6749, 3.1.2).
    redirect_url maybe_redirect_url;
    /// The base URL that the access token is used with.
    api_domain maybe_api_domain;
    /// How the access token is presented, such as `Bearer` (RFC 6749, 7.1).
    token_type maybe_token_type;
}

texts! { Secret, Secret, as_ref:
    /// The application's password at the authorization server (RFC 6749, 2.3.1). Public clients have none. Secret.
    client_secret maybe_client_secret;
    /// What new access tokens are requested with (RFC 6749, 1.5). Secret.
    refresh_token maybe_refresh_token;
    /// What the API is called with (RFC 6749, 1.4). Secret.
    access_token maybe_access_token;
    /// The authorization code that is exchanged once for the other tokens (RFC 6749, 1.3.1). Secret.
    grant_token maybe_grant_token;
    /// The ID token (OpenID Connect Core, 2). Secret.
    id_token maybe_id_token;
}

/// The reader of a time and its two setters, with one documentation.
macro_rules! times {
    ($($(#[$doc:meta])+ $name:ident $maybe_name:ident;)+) => {
        impl Token {
            $($(#[$doc])+
            #[must_use]
            pub fn $name(&self) -> Option<SystemTime> {
                self.fields().$name.map(Millis::time)
            })+
        }
        impl TokenBuilder {
            $($(#[$doc])+
            ///
            /// The time is cut to whole milliseconds. A time before 1970 or after 9999 is moved to the nearer end.
            pub fn $name(mut self, time: SystemTime) -> Self {
                self.0.$name = Some(time.into());
                self
            }

            $(#[$doc])+
            ///
            /// `None` leaves the field as it is.
            pub fn $maybe_name(self, time: Option<SystemTime>) -> Self {
                match time {
                    Some(time) => self.$name(time),
                    None => self,
                }
            })+
        }
    };
}

times! {
    /// When the access token was issued to us. A save that changes the access token clears it, unless the save brings a
    /// time of its own.
    received_at maybe_received_at;
    /// When the refresh token expires. A save that changes the refresh token clears it, unless the save brings a time
    /// of its own.
    refresh_expires_at maybe_refresh_expires_at;
    /// When the server refused the refresh token: the user has to sign in again. A save that brings another access
    /// token or another refresh token clears it.
    rejected_at maybe_rejected_at;
    /// No refresh before this time. A save that brings another access token or another refresh token clears it.
    retry_at maybe_retry_at;
}

impl TokenBuilder {
    pub(super) fn of(fields: Fields) -> Self {
        Self(fields)
    }

    /// The id of the stored token. A save with an id that is not stored gives the new token that id. Setting another id
    /// than before drops the revision, which counts for one stored token only.
    ///
    /// A store chooses ids by counting up from the largest number that was ever saved as an id. After an id of
    /// 9223372036854775807 (2^63 - 1) was saved it chooses none, for good: each token without an id is
    /// [`NoIdLeft`](crate::Unstorable::NoIdLeft) then.
    pub fn id(mut self, id: impl Into<TokenId>) -> Self {
        let id = Some(id.into()).filter(|id| !id.as_str().is_empty());
        // Held by `revision_stays_with_a_copy_and_goes_with_another_id`.
        if self.0.id.is_some() && self.0.id != id {
            self.0.stored = None;
        }
        self.0.id = id;
        self
    }

    /// The id of the stored token, see [`id`](Self::id). `None` leaves the field as it is.
    pub fn maybe_id(self, id: Option<impl Into<TokenId>>) -> Self {
        match id {
            Some(id) => self.id(id),
            None => self,
        }
    }

    /// When the access token expires: an absolute time, cut to whole milliseconds. A time before 1970 or after 9999 is
    /// moved to the nearer end.
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.0.expires_at = Expiry::At(time.into());
        self
    }

    /// When the access token expires, see [`expires_at`](Self::expires_at). `None` is
    /// [`expiry_unknown`](Self::expiry_unknown).
    pub fn maybe_expires_at(self, time: Option<SystemTime>) -> Self {
        match time {
            Some(time) => self.expires_at(time),
            None => self.expiry_unknown(),
        }
    }

    /// How long the access token lasts from now on: the `expires_in` of a response that has just arrived (RFC 6749,
    /// 5.1).
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.0.expires_at = Expiry::At(Millis::now().after(lifetime));
        self
    }

    /// How long the access token lasts from now on, see [`expires_in`](Self::expires_in). `None`, for a response
    /// without an `expires_in`, is [`expiry_unknown`](Self::expiry_unknown).
    pub fn maybe_expires_in(self, lifetime: Option<Duration>) -> Self {
        match lifetime {
            Some(lifetime) => self.expires_in(lifetime),
            None => self.expiry_unknown(),
        }
    }

    /// Nobody has said when the access token expires. A save clears the expiry that is stored, where a builder that
    /// sets no expiry at all would keep it. Use it with each new access token that comes without a lifetime.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tokenkeep::{MemoryStore, Token, TokenStore};
    /// # let store = MemoryStore::new();
    /// let ada = || Token::builder().user_name("ada");
    /// store.save_token(&ada().access_token("a").expires_in(Duration::from_secs(3600)).build())?;
    /// store.save_token(&ada().access_token("b").expiry_unknown().build())?;
    /// assert_eq!(store.find_stored(&ada().build())?.unwrap().expires_at(), None);
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    pub fn expiry_unknown(mut self) -> Self {
        self.0.expires_at = Expiry::Unknown;
        self
    }

    /// How long the refresh token lasts from now on, see [`refresh_expires_at`](Self::refresh_expires_at).
    pub fn refresh_expires_in(mut self, lifetime: Duration) -> Self {
        self.0.refresh_expires_at = Some(Millis::now().after(lifetime));
        self
    }

    /// How long the refresh token lasts from now on, see [`refresh_expires_at`](Self::refresh_expires_at). `None`
    /// leaves the field as it is.
    pub fn maybe_refresh_expires_in(self, lifetime: Option<Duration>) -> Self {
        match lifetime {
            Some(lifetime) => self.refresh_expires_in(lifetime),
            None => self,
        }
    }

    /// How many refreshes have failed in a row. 0 is unset: a save that says 0 keeps the number that is stored. A save
    /// that brings another access token or another refresh token sets it to 0.
    pub fn failed_refreshes(mut self, count: u32) -> Self {
        self.0.failed_refreshes = count;
        self
    }

    /// What the access token may be used for, in this order; replaces the scopes that were set before. Empty texts and
    /// duplicates are left out.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        let mut seen = HashSet::new();
        self.0.scopes = scopes
            .into_iter()
            .map(Into::into)
            .filter(|scope| !scope.is_empty() && seen.insert(scope.clone()))
            .collect();
        self
    }

    /// What the access token may be used for, see [`scopes`](Self::scopes). `None` leaves the field as it is.
    pub fn maybe_scopes<S: Into<String>>(self, scopes: Option<impl IntoIterator<Item = S>>) -> Self {
        match scopes {
            Some(scopes) => self.scopes(scopes),
            None => self,
        }
    }

    /// Sets an attribute of the application's own. Secret. An empty value removes the attribute from the builder. A
    /// save then keeps the stored attribute, and a replacement clears it.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.0.attributes.remove(&name);
        } else {
            self.0.attributes.insert(name, value);
        }
        self
    }

    /// An attribute, see [`attribute`](Self::attribute). `None` leaves it as it is.
    pub fn maybe_attribute(self, name: impl Into<String>, value: Option<impl Into<Secret>>) -> Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// What a store sets on a token that it returns. For an application's own [`TokenStore`](crate::TokenStore), which
    /// builds tokens from what it has stored. An expiry that was not set is then unknown. Any other token has no use
    /// for it.
    pub fn stored(mut self, store: Origin, created_at: SystemTime, updated_at: SystemTime, revision: u64) -> Self {
        let (created_at, updated_at) = (created_at.into(), updated_at.into());
        self.0.stored = Some(Stored { origin: store, created_at, updated_at, revision });
        self
    }

    /// The token.
    #[must_use]
    pub fn build(self) -> Token {
        self.0.into()
    }
}

impl fmt::Debug for TokenBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f.debug_struct("TokenBuilder"))
    }
}
