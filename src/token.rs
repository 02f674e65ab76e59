//! A token: what an application saves and gets back.

mod builder;
mod limits;

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use builder::TokenBuilder;

use crate::{
    id::{Origin, TokenId},
    secret::Secret,
    time::Millis,
};

/// What one sign-in gave: an access token, a refresh token, whose they are and how long they last.
///
/// A token is immutable and cheap to clone. [`Token::builder`] makes one, and [`Token::to_builder`] makes a changed
/// copy. A token is not `Serialize`, so that no secret gets into a log by accident. Its `Debug` shows neither secrets
/// nor the user name.
///
/// A token that was read from a store carries a [revision](Token::revision). Saving it, or a copy that
/// [`to_builder`](Token::to_builder) made of it, saves over that revision only.
///
/// Two tokens are equal if all their fields are, with the revision and the times that the store set. Which store they
/// were read from makes no difference.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::Token;
///
/// let token = Token::builder()
///     .user_name("ada@example.com")
///     .client_id("1000.ABC")
///     .client_secret("s3cret")
///     .refresh_token("1000.refresh")
///     .access_token("1000.access")
///     .expires_in(Duration::from_secs(3600))
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

/// The fields of a token. Texts that are not secret have no spare room, because a store holds many of them. A secret
/// stays in the buffer that it was given in, because moving it would leave a copy.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) id: Option<TokenId>,
    pub(crate) user_name: Option<Box<str>>,
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) client_secret: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) access_token: Option<Secret>,
    pub(crate) grant_token: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
    pub(crate) expires_at: Expiry,
    pub(crate) received_at: Option<Millis>,
    pub(crate) refresh_expires_at: Option<Millis>,
    pub(crate) rejected_at: Option<Millis>,
    pub(crate) retry_at: Option<Millis>,
    /// In a row. 0: none, and in a merge the number is unset.
    pub(crate) failed_refreshes: u32,
    pub(crate) redirect_url: Option<Box<str>>,
    pub(crate) api_domain: Option<Box<str>>,
    pub(crate) token_type: Option<Box<str>>,
    pub(crate) scopes: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Secret>,
    pub(crate) stored: Option<Stored>,
}

/// When an access token expires. A stored token has no `Unset` expiry: there is no earlier one that it could keep.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// A merge keeps the expiry that is stored.
    #[default]
    Unset,
    /// A merge clears the expiry that is stored.
    Unknown,
    At(Millis),
}

impl Expiry {
    pub(crate) fn at(self) -> Option<Millis> {
        match self {
            Self::At(time) => Some(time),
            Self::Unset | Self::Unknown => None,
        }
    }
}

impl From<Option<Millis>> for Expiry {
    fn from(time: Option<Millis>) -> Self {
        time.map_or(Self::Unknown, Self::At)
    }
}

/// What the store sets, and only the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) origin: Origin,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) revision: u64,
}

/// Without the origin: a token that was copied from store to store is the same token.
impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        let Self { origin: _, created_at, updated_at, revision } = self;
        (created_at, updated_at, revision) == (&other.created_at, &other.updated_at, &other.revision)
    }
}

impl Eq for Stored {}

impl Token {
    /// A builder with no field set.
    ///
    /// ```
    /// use tokenkeep::Token;
    ///
    /// let query = Token::builder().user_name("ada").client_id("1000.ABC").build();
    /// assert_eq!(query.client_id(), Some("1000.ABC"));
    /// ```
    pub fn builder() -> TokenBuilder {
        TokenBuilder::default()
    }

    /// A builder with all fields of this token and its revision, for a changed copy.
    ///
    /// ```
    /// # use tokenkeep::{MemoryStore, Token, TokenStore};
    /// # let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").access_token("a").build())?;
    /// let read = store.find_token_by_id(&id)?.unwrap();
    /// store.save_token(&read.to_builder().access_token("b").build())?; // nobody else has saved it in between
    /// assert!(store.save_token(&read).is_err()); // it has changed since it was read
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    pub fn to_builder(&self) -> TokenBuilder {
        TokenBuilder::of(Fields::clone(&self.0))
    }

    /// The same token without the revision and the times that a store set: it is saved like a token that was built from
    /// nothing, over any revision.
    ///
    /// ```
    /// # use tokenkeep::{MemoryStore, Token, TokenStore};
    /// # let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").access_token("a").build())?;
    /// let read = store.find_token_by_id(&id)?.unwrap();
    /// store.save_token(&Token::builder().id(id.clone()).access_token("b").build())?;
    /// store.save_token(&read.without_revision())?; // over the change
    /// assert_eq!(store.find_token_by_id(&id)?.unwrap().access_token().unwrap().expose_secret(), "a");
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    #[must_use]
    pub fn without_revision(&self) -> Self {
        Fields { stored: None, ..Fields::clone(&self.0) }.into()
    }

    /// The id of the stored token.
    #[must_use]
    pub fn id(&self) -> Option<&TokenId> {
        self.0.id.as_ref()
    }

    /// When the access token expires; `None` if that is not known.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at.at().map(Millis::time)
    }

    /// Whether the access token has expired by then. `false` if its expiry is unknown: only the server can tell.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tokenkeep::Token;
    ///
    /// let now = SystemTime::now();
    /// let token = Token::builder().access_token("a").expires_at(now + Duration::from_secs(60)).build();
    /// assert!(!token.is_expired(now) && token.is_expired(now + Duration::from_secs(60)));
    /// assert!(!Token::builder().access_token("a").expiry_unknown().build().is_expired(now));
    /// ```
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.0.expires_at.at().is_some_and(|expiry| expiry.time() <= now)
    }

    /// How long the access token lasts from then on: zero once it has expired, `None` if its expiry is unknown.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tokenkeep::Token;
    ///
    /// let now = SystemTime::now();
    /// let token = Token::builder().access_token("a").expires_at(now).build();
    /// assert_eq!(token.remaining(now + Duration::from_secs(1)), Some(Duration::ZERO));
    /// assert_eq!(Token::builder().access_token("a").build().remaining(now), None);
    /// ```
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        let expiry = self.0.expires_at.at()?;
        Some(expiry.time().duration_since(now).unwrap_or_default())
    }

    /// How many refreshes have failed in a row; 0 if none has failed since the tokens were saved.
    #[must_use]
    pub fn failed_refreshes(&self) -> u32 {
        self.0.failed_refreshes
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

    /// How often the token was saved, as the store counts: 1 after the first save. `None` if the token was not read
    /// from a store, or if a find has changed its fields.
    ///
    /// A revision is valid only in the store that the token was read from. Another store ignores the revision and saves
    /// the token as a whole row. So a plain loop copies a store into an empty one: see [`matching`](crate::matching). A
    /// backup counts as the same store as its original.
    ///
    /// A store never reuses an id that it chose. If an application supplies an id, deletes the token, and supplies the
    /// id again, the count starts at 1 again. A revision then cannot tell the two tokens apart. So let the store choose
    /// ids.
    #[must_use]
    pub fn revision(&self) -> Option<u64> {
        self.0.stored.map(|stored| stored.revision)
    }

    /// The revision, if the token was read from that store.
    pub(crate) fn revision_in(&self, store: Origin) -> Option<u64> {
        // Held by `a_save_over_a_revision_means_that_revision_only`: without `.filter`.
        self.0.stored.filter(|stored| stored.origin == store).map(|stored| stored.revision)
    }

    /// Whether the token was read from another store than that one.
    pub(crate) fn is_of_other_store(&self, store: Origin) -> bool {
        self.0.stored.is_some_and(|stored| stored.origin != store)
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.0
    }
}

impl From<Fields> for Token {
    fn from(mut fields: Fields) -> Self {
        // What a store keeps has no unset expiry.
        // Held by `a_find_that_changes_something_carries_no_revision`.
        if fields.stored.is_some() && fields.expires_at == Expiry::Unset {
            fields.expires_at = Expiry::Unknown;
        }
        Self(Arc::new(fields))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f.debug_struct("Token"))
    }
}

impl Fields {
    /// Shows the fields that are set, and hides the user name and what is secret.
    fn show(&self, mut shown: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let Self {
            id,
            user_name,
            client_id,
            client_secret,
            refresh_token,
            access_token,
            grant_token,
            id_token,
            expires_at,
            received_at,
            refresh_expires_at,
            rejected_at,
            retry_at,
            failed_refreshes,
            redirect_url,
            api_domain,
            token_type,
            scopes,
            attributes,
            stored,
        } = self;
        if let Some(id) = id {
            shown.field("id", &id.as_str());
        }
        for (name, is_set) in [
            ("user_name", user_name.is_some()),
            ("client_secret", client_secret.is_some()),
            ("refresh_token", refresh_token.is_some()),
            ("access_token", access_token.is_some()),
            ("grant_token", grant_token.is_some()),
            ("id_token", id_token.is_some()),
            ("attributes", !attributes.is_empty()),
        ] {
            if is_set {
                shown.field(name, &format_args!("***"));
            }
        }
        for (name, text) in [
            ("client_id", client_id),
            ("redirect_url", redirect_url),
            ("api_domain", api_domain),
            ("token_type", token_type),
        ] {
            if let Some(text) = text {
                shown.field(name, text);
            }
        }
        match expires_at {
            Expiry::Unset => {}
            Expiry::Unknown => _ = shown.field("expires_at", &format_args!("unknown")),
            Expiry::At(time) => _ = shown.field("expires_at", time),
        }
        for (name, time) in [
            ("received_at", received_at),
            ("refresh_expires_at", refresh_expires_at),
            ("rejected_at", rejected_at),
            ("retry_at", retry_at),
        ] {
            if let Some(time) = time {
                shown.field(name, time);
            }
        }
        if *failed_refreshes > 0 {
            shown.field("failed_refreshes", failed_refreshes);
        }
        if !scopes.is_empty() {
            shown.field("scopes", scopes);
        }
        if let Some(Stored { origin: _, created_at, updated_at, revision }) = stored {
            shown.field("created_at", created_at).field("updated_at", updated_at).field("revision", revision);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests;
