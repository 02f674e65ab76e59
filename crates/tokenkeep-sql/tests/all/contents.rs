//! What the database shows to those who read it.

use tokenkeep::TokenStore;

use crate::{
    attacks::{dump, fixture},
    common::{Fixture, token},
};

#[test]
fn values_that_look_like_sql_change_nothing() {
    let fixture = fixture();
    let hostile =
        ["'; DROP TABLE tokenkeep_tokens; --", "\" OR 1=1 --", "%", "_", "\\", "?1", "$1", ":a", "NULL", "\0"];
    let namespace = fixture.store.namespace(hostile[0]).unwrap();
    for text in hostile {
        for store in [&fixture.store as &dyn TokenStore, &namespace] {
            let saved = token().id(text).user_name(text).client_id(text).refresh_token(text).access_token(text);
            assert_eq!(store.save_token(&saved.clone().grant_token(text).build()).unwrap().as_str(), text);
            let found = store.find_stored(&token().user_name(text).client_id(text).build()).unwrap().unwrap();
            assert_eq!(found.refresh_token().unwrap().expose_secret(), text);
            assert_eq!(store.find_token_by_id(&text.into()).unwrap(), Some(found));
        }
    }
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 2 + hostile.len());
    assert_eq!(fixture.store.namespaces().unwrap(), [hostile[0]]);
    for text in hostile {
        assert!(fixture.store.delete_token(&text.into()).unwrap());
    }
    assert_eq!(namespace.delete_tokens().unwrap(), hostile.len());
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 2);
}

#[test]
fn database_shows_no_value_and_no_namespace() {
    let fixture = Fixture::new();
    let texts = [
        "canary-id",
        "canary-user",
        "canary-client",
        "canary-secret",
        "canary-access",
        "canary-grant",
        "canary-refresh",
        "canary-idtoken",
        "canary-url",
        "canary-domain",
        "canary-type",
        "canary-scope",
        "canary-name",
        "canary-value",
        "canary-namespace",
    ];
    let full = token()
        .id(texts[0])
        .user_name(texts[1])
        .client_id(texts[2])
        .client_secret(texts[3])
        .access_token(texts[4])
        .grant_token(texts[5])
        .refresh_token(texts[6])
        .id_token(texts[7])
        .redirect_url(texts[8])
        .api_domain(texts[9])
        .token_type(texts[10])
        .scopes([texts[11]])
        .attribute(texts[12], texts[13])
        .build();
    let namespace = fixture.store.namespace(texts[14]).unwrap();
    for store in [&fixture.store as &dyn TokenStore, &namespace] {
        store.save_token(&full).unwrap();
    }
    let stored =
        format!("{:?}", dump(&fixture)) + &format!("{:?}", fixture.place.admin().rows("SELECT * FROM tokenkeep_store"));
    assert!(stored.len() > 1000 && !stored.contains("canary") && !stored.contains(&format!("{:?}", b"canary")[1..25]));
    // The same token in two namespaces, and the same text in two columns, have no index in common.
    let rows = dump(&fixture);
    let indexes: Vec<_> = rows.iter().flat_map(|row| &row[3..10]).collect();
    assert_eq!(indexes.len(), 14);
    for (number, index) in indexes.iter().enumerate() {
        assert!(!indexes[..number].contains(index));
    }
}

/// Documented: who reads the database sees which rows of a namespace have a user name or a token in common.
#[test]
fn equal_values_of_a_namespace_have_equal_indexes() {
    let fixture = Fixture::new();
    for client in ["a", "b"] {
        let token = token().user_name("ada").client_id(client).refresh_token("the same").access_token(client);
        fixture.store.save_token(&token.build()).unwrap();
    }
    let rows = dump(&fixture);
    let is_equal: Vec<_> = (3..10).map(|column| rows[0][column] == rows[1][column]).collect();
    // Namespace, id, user name, user and client, access, grant (missing in both), refresh.
    assert_eq!(is_equal, [true, false, true, false, false, true, true]);
}
