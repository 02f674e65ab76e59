//! A token: what an application saves and gets back.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    error::{Error, Result, Unstorable},
    id::TokenId,
    secret::Secret,
};

/// What one sign-in gave: an access token, a refresh token, whose they are and how long they last.
///
/// A token is immutable and cheap to clone. It is made with [`Token::builder`] and changed through
/// [`Token::to_builder`]. On purpose it is not `Serialize`: nothing can write its secrets to a log by accident.
/// Its `Debug` shows what is not secret.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tokenkeep::Token;
///
/// let token = Token::builder()
///     .user_name("ada@example.com")
///     .client_id("1000.ABC")
///     .client_secret("s3cret")
///     .refresh_token("1000.refresh")
///     .access_token("1000.access")
///     .expires_at(SystemTime::now() + Duration::from_secs(3600))
///     .scopes(["crm.read", "crm.write"])
///     .attribute("region", "eu")
///     .build();
///
/// assert_eq!(token.user_name(), Some("ada@example.com"));
/// assert_eq!(token.refresh_token().unwrap().expose_secret(), "1000.refresh");
/// assert!(!format!("{token:?}").contains("s3cret"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<Fields>);

/// Makes a [`Token`]. Setting a field to an empty text clears it.
///
/// Nothing is refused here: whether a token can be stored, and its limits (64 KiB a field, 256 KiB a token), are
/// looked at when it is saved.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TokenBuilder(Fields);

/// A point in time as the store keeps it: whole milliseconds since 1970, up to the end of the year 9999, which every
/// platform's `SystemTime` can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(u64);

/// Texts that are no secret have no spare room, for many tokens are many of them. A secret stays where it was given: to move it
/// would leave a copy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) id: Option<TokenId>,
    pub(crate) user_name: Option<Box<str>>,
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) access_token: Option<Secret>,
    pub(crate) grant_token: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
    pub(crate) expires_at: Option<Millis>,
    pub(crate) redirect_url: Option<Box<str>>,
    pub(crate) api_domain: Option<Box<str>>,
    pub(crate) token_type: Option<Box<str>>,
    pub(crate) scopes: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Secret>,
    pub(crate) stored: Option<Stored>,
}

/// What the store sets, and only the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) revision: u64,
}

/// The same documentation for the reader of a field and its setter.
macro_rules! texts {
    ($given:ty, $shown:ty, $as_shown:ident: $($(#[$doc:meta])+ $name:ident;)+) => {
        impl Token {
            $($(#[$doc])+
            #[must_use]
            pub fn $name(&self) -> Option<&$shown> {
                self.0.$name.$as_shown()
            })+
        }
        impl TokenBuilder {
            $($(#[$doc])+
            pub fn $name(mut self, $name: impl Into<$given>) -> Self {
                self.0.$name = Some($name.into()).filter(|text| !text.is_empty()).map(Into::into);
                self
            })+
        }
    };
}

texts! { String, str, as_deref:
    /// Whose token it is: at most one stored token has a given user name.
    user_name;
    /// The application's identifier at the authorization server (RFC 6749, 2.2).
    client_id;
    /// Where the authorization server sends the user back to (RFC 6749, 3.1.2).
    redirect_url;
    /// The base URL that the access token is used with.
    api_domain;
    /// How the access token is presented, such as `Bearer` (RFC 6749, 7.1).
    token_type;
}

texts! { Secret, Secret, as_ref:
    /// The application's password at the authorization server (RFC 6749, 2.3.1). Secret.
    client_secret;
    /// What new access tokens are got with (RFC 6749, 1.5). Secret.
    refresh_token;
    /// What the API is called with (RFC 6749, 1.4). Secret.
    access_token;
    /// The authorization code that is exchanged once for the other tokens (RFC 6749, 1.3.1). Secret.
    grant_token;
    /// The ID token of OpenID Connect Core, 2. Secret.
    id_token;
}

impl Token {
    /// A field may hold this many bytes.
    pub const MAX_FIELD_LEN: usize = 64 * 1024;
    /// All fields of a token together may hold this many bytes.
    pub const MAX_LEN: usize = 256 * 1024;

    /// A builder with no field set.
    pub fn builder() -> TokenBuilder {
        TokenBuilder::default()
    }

    /// A builder with all of this token's fields, for a changed copy.
    pub fn to_builder(&self) -> TokenBuilder {
        TokenBuilder(Fields::clone(&self.0))
    }

    /// The name of the stored token.
    #[must_use]
    pub fn id(&self) -> Option<&TokenId> {
        self.0.id.as_ref()
    }

    /// When the access token expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at.map(Millis::time)
    }

    /// What the access token may be used for, in the order given, without duplicates (RFC 6749, 3.3).
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.0.scopes
    }

    /// The application's own attribute of that name. Secret.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Secret> {
        self.0.attributes.get(name)
    }

    /// The application's own attributes, in the order of their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.attributes.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// When the token was first saved, as the store set it.
    #[must_use]
    pub fn created_at(&self) -> Option<SystemTime> {
        self.0.stored.map(|stored| stored.created_at.time())
    }

    /// When the token was last saved, as the store set it.
    #[must_use]
    pub fn updated_at(&self) -> Option<SystemTime> {
        self.0.stored.map(|stored| stored.updated_at.time())
    }

    /// How often the token was saved, as the store set it: 1 after the first save.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.0.stored.map(|stored| stored.revision)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.0
    }

    /// What every stored token must be, whatever is stored beside it.
    pub(crate) fn check_storable(&self) -> Result<()> {
        let fields = self.fields();
        if fields.grant_token.is_none() && fields.refresh_token.is_none() && fields.access_token.is_none() {
            return Err(Error::Unstorable { why: Unstorable::NothingToStore });
        }
        if fields.attributes.contains_key("") {
            return Err(Error::Unstorable { why: Unstorable::UnnamedAttribute });
        }
        let mut total = 0_usize;
        for (what, size) in fields.sizes() {
            if size > Self::MAX_FIELD_LEN {
                return Err(too_large(what, size, Self::MAX_FIELD_LEN));
            }
            total = total.saturating_add(size);
        }
        if total > Self::MAX_LEN {
            return Err(too_large("a token", total, Self::MAX_LEN));
        }
        Ok(())
    }
}

fn too_large(what: &'static str, size: usize, limit: usize) -> Error {
    // Saturating: these are lengths of what is in memory.
    let bytes = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    Error::TooLarge { what, size: bytes(size), limit: bytes(limit) }
}

impl Fields {
    fn sizes(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let secret = |secret: &Option<Secret>| secret.as_ref().map_or(0, |secret| secret.expose_secret().len());
        [
            ("an id", self.id.as_ref().map_or(0, |id| id.as_str().len())),
            ("a user name", text(&self.user_name)),
            ("a client id", text(&self.client_id)),
            ("a client secret", secret(&self.client_secret)),
            ("a refresh token", secret(&self.refresh_token)),
            ("an access token", secret(&self.access_token)),
            ("a grant token", secret(&self.grant_token)),
            ("an id token", secret(&self.id_token)),
            ("a redirect URL", text(&self.redirect_url)),
            ("an API domain", text(&self.api_domain)),
            ("a token type", text(&self.token_type)),
        ]
        .into_iter()
        .chain(self.scopes.iter().map(|scope| ("a scope", scope.len())))
        .chain(self.attributes.keys().map(|name| ("an attribute's name", name.len())))
        .chain(self.attributes.values().map(|value| ("an attribute", value.expose_secret().len())))
    }
}

impl TokenBuilder {
    /// The name of the stored token. A save with an id that is not stored gives the new row that id.
    pub fn id(mut self, id: impl Into<TokenId>) -> Self {
        self.0.id = Some(id.into()).filter(|id| !id.as_str().is_empty());
        self
    }

    /// When the access token expires: an absolute time, cut to whole milliseconds, between the years 1970 and 9999 (a
    /// time outside is moved to the nearer end). An `expires_in` of RFC 6749, 5.1 counts from the response. `None`
    /// clears it.
    pub fn expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.0.expires_at = time.into().map(Millis::from);
        self
    }

    /// What the access token may be used for, in this order; replaces the scopes set before. Empty texts and
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

    /// An attribute of the application's own; an empty value clears it. Secret.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        let (name, value) = (name.into(), value.into());
        if value.is_empty() {
            self.0.attributes.remove(&name);
        } else {
            self.0.attributes.insert(name, value);
        }
        self
    }

    /// What a store sets on a token it returns. For an application's own [`TokenStore`](crate::TokenStore) that
    /// reads tokens from where it keeps them; any other token has no use for it.
    pub fn stored(mut self, created_at: SystemTime, updated_at: SystemTime, revision: u64) -> Self {
        self.0.stored = Some(Stored { created_at: created_at.into(), updated_at: updated_at.into(), revision });
        self
    }

    /// The token.
    #[must_use]
    pub fn build(self) -> Token {
        Token(Arc::new(self.0))
    }
}

impl From<Fields> for Token {
    fn from(fields: Fields) -> Self {
        Self(Arc::new(fields))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.0).finish()
    }
}

impl Millis {
    const MAX: u64 = 253_402_300_799_999;

    pub(crate) fn now() -> Self {
        SystemTime::now().into()
    }

    /// The number of milliseconds, if it is in range.
    pub(crate) fn new(millis: u64) -> Option<Self> {
        (millis <= Self::MAX).then_some(Self(millis))
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }

    #[expect(clippy::arithmetic_side_effects, reason = "up to the year 9999 no platform's clock overflows")]
    pub(crate) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since_1970.as_millis()).unwrap_or(Self::MAX).min(Self::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_text_is_the_same_as_absent() {
        let token = Token::builder().id("1").user_name("ada").access_token("a").attribute("k", "v").build();
        let token = token.to_builder().expires_at(SystemTime::now()).build();
        let cleared = token.to_builder().id("").user_name("").access_token("").attribute("k", "").scopes([""]);
        let cleared = cleared.expires_at(None).build();
        assert_eq!(cleared, Token::builder().build());
    }

    #[test]
    fn times_are_cut_to_milliseconds_and_kept_between_1970_and_9999() {
        let kept = |time| Token::builder().expires_at(time).build().expires_at().unwrap();
        let epoch = SystemTime::UNIX_EPOCH;
        assert_eq!(kept(epoch + Duration::from_micros(1_999)), epoch + Duration::from_millis(1));
        assert_eq!(kept(epoch - Duration::from_secs(1)), epoch);
        assert_eq!(kept(epoch + Duration::from_secs(1 << 38)), epoch + Duration::from_millis(Millis::MAX));
    }

    #[test]
    fn scopes_keep_their_order_and_lose_their_duplicates() {
        assert_eq!(Token::builder().scopes(["b", "a", "b", "", "c"]).build().scopes(), ["b", "a", "c"]);
    }

    #[test]
    fn a_field_and_a_token_of_the_largest_size_can_be_stored_and_no_larger() {
        let field = "x".repeat(Token::MAX_FIELD_LEN);
        let full = Token::builder().access_token(&*field).id_token(&*field).grant_token(&*field).client_id(&*field);
        assert!(full.clone().build().check_storable().is_ok());

        let refused = |token: TokenBuilder| match token.build().check_storable() {
            Err(Error::TooLarge { what, size, limit }) => (what, size, limit),
            other => panic!("expected TooLarge, got {other:?}"),
        };
        assert_eq!(refused(full.id("1")), ("a token", 262_145, 262_144));
        assert_eq!(refused(Token::builder().access_token(field.clone() + "x")), ("an access token", 65_537, 65_536));
        let named = Token::builder().access_token("a").attribute(field.clone() + "x", "v");
        assert_eq!(refused(named), ("an attribute's name", 65_537, 65_536));
    }

    #[test]
    fn an_attribute_without_a_name_cannot_be_stored() {
        let unnamed = Token::builder().access_token("a").attribute("", "v").build();
        assert!(matches!(unnamed.check_storable(), Err(Error::Unstorable { why: Unstorable::UnnamedAttribute })));
    }
}
