//! The limits of a stored token that do not depend on other tokens.

use super::{Fields, Token};
use crate::{
    error::{Error, Part, Result, Unstorable},
    secret::Secret,
};

impl Token {
    /// A field holds at most this many bytes.
    pub const MAX_FIELD_LEN: usize = 64 * 1024;
    /// All fields of a token together hold at most this many bytes.
    pub const MAX_LEN: usize = 256 * 1024;

    pub(crate) fn check_storable(&self) -> Result<()> {
        let fields = self.fields();
        if fields.grant_token.is_none() && fields.refresh_token.is_none() && fields.access_token.is_none() {
            // Held by `a_save_that_is_refused_asks_for_no_id`.
            return Err(Error::Unstorable { why: Unstorable::NothingToStore });
        }
        if fields.attributes.contains_key("") {
            // Held by `unnamed_attribute_is_not_storable`.
            return Err(Error::Unstorable { why: Unstorable::UnnamedAttribute });
        }
        let mut total = 0_usize;
        for (part, size) in fields.sizes() {
            if size > Self::MAX_FIELD_LEN {
                // Held by `largest_field_and_token_are_storable_and_larger_ones_are_not`.
                return Err(too_large(part, size, Self::MAX_FIELD_LEN));
            }
            total = total.saturating_add(size);
        }
        if total > Self::MAX_LEN {
            // Held by `largest_field_and_token_are_storable_and_larger_ones_are_not`.
            return Err(too_large(Part::Token, total, Self::MAX_LEN));
        }
        Ok(())
    }
}

fn too_large(part: Part, size: usize, limit: usize) -> Error {
    // Saturating: these are lengths of what is in memory.
    let bytes = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    Error::TooLarge { part, size: bytes(size), limit: bytes(limit) }
}

impl Fields {
    /// Each text of the token, with its length in bytes.
    fn sizes(&self) -> impl Iterator<Item = (Part, usize)> {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let secret = |secret: &Option<Secret>| secret.as_ref().map_or(0, |secret| secret.expose_secret().len());
        let Self {
            id,
            user_name,
            client_id,
            client_secret,
            refresh_token,
            access_token,
            grant_token,
            id_token,
            expires_at: _,
            received_at: _,
            refresh_expires_at: _,
            rejected_at: _,
            retry_at: _,
            failed_refreshes: _,
            redirect_url,
            api_domain,
            token_type,
            scopes,
            attributes,
            stored: _,
        } = self;
        [
            (Part::Id, id.as_ref().map_or(0, |id| id.as_str().len())),
            (Part::UserName, text(user_name)),
            (Part::ClientId, text(client_id)),
            (Part::ClientSecret, secret(client_secret)),
            (Part::RefreshToken, secret(refresh_token)),
            (Part::AccessToken, secret(access_token)),
            (Part::GrantToken, secret(grant_token)),
            (Part::IdToken, secret(id_token)),
            (Part::RedirectUrl, text(redirect_url)),
            (Part::ApiDomain, text(api_domain)),
            (Part::TokenType, text(token_type)),
        ]
        .into_iter()
        .chain(scopes.iter().map(|scope| (Part::Scope, scope.len())))
        .chain(attributes.keys().map(|name| (Part::AttributeName, name.len())))
        .chain(attributes.values().map(|value| (Part::AttributeValue, value.expose_secret().len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenBuilder;

    #[test]
    fn largest_field_and_token_are_storable_and_larger_ones_are_not() {
        let field = "x".repeat(Token::MAX_FIELD_LEN);
        let full = Token::builder().access_token(&*field).id_token(&*field).grant_token(&*field).client_id(&*field);
        assert!(full.clone().build().check_storable().is_ok());

        let refused = |token: TokenBuilder| match token.build().check_storable() {
            Err(Error::TooLarge { part, size, limit }) => (part, size, limit),
            other => panic!("expected TooLarge, got {other:?}"),
        };
        assert_eq!(refused(full.id("1")), (Part::Token, 262_145, 262_144));
        let over = || field.clone() + "x";
        assert_eq!(refused(Token::builder().access_token(over())), (Part::AccessToken, 65_537, 65_536));
        let token = || Token::builder().access_token("a");
        for (token, part) in [
            (token().id(over()), Part::Id),
            (token().user_name(over()), Part::UserName),
            (token().client_id(over()), Part::ClientId),
            (token().client_secret(over()), Part::ClientSecret),
            (token().refresh_token(over()), Part::RefreshToken),
            (token().grant_token(over()), Part::GrantToken),
            (token().id_token(over()), Part::IdToken),
            (token().redirect_url(over()), Part::RedirectUrl),
            (token().api_domain(over()), Part::ApiDomain),
            (token().token_type(over()), Part::TokenType),
            (token().scopes([over()]), Part::Scope),
            (token().attribute(over(), "v"), Part::AttributeName),
            (token().attribute("k", over()), Part::AttributeValue),
        ] {
            assert_eq!(refused(token), (part, 65_537, 65_536));
        }
    }

    #[test]
    fn unnamed_attribute_is_not_storable() {
        let unnamed = Token::builder().access_token("a").attribute("", "v").build();
        assert!(matches!(unnamed.check_storable(), Err(Error::Unstorable { why: Unstorable::UnnamedAttribute })));
    }
}
