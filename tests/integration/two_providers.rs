//! One user at two providers, of which one has a public client: two rows, in each order of refreshes.

use std::time::{Duration, SystemTime};

use crate::common::{Fixture, token};
use tokenkeep::{MemoryStore, Secret, Token, TokenBuilder, TokenId, TokenStore};

/// Runs the test on each of our stores.
fn in_each_store(test: impl Fn(&dyn TokenStore)) {
    test(&MemoryStore::new());
    test(&Fixture::new().store);
}

/// A client of the one user at a provider, as an application keeps it.
struct Client {
    name: &'static str,
    id: TokenId,
    /// How often it was refreshed.
    round: usize,
}

const CLIENTS: [&str; 2] = ["confidential", "public"];

/// What a save or a find names a row by.
#[derive(Debug, Clone, Copy)]
enum By {
    UserAndClient,
    Id,
    UserAndClientAndId,
}

impl Client {
    /// The response to a sign-in.
    fn sign_in(store: &dyn TokenStore, name: &'static str) -> Self {
        let mut token = token().user_name("ada@example.com").client_id(name).grant_token(format!("grant {name}"));
        if name == "confidential" {
            token = token.client_secret(format!("secret {name}"));
        }
        let id = save(store, tokens(token, name, 0));
        Self { name, id, round: 0 }
    }

    fn query(&self, by: By) -> TokenBuilder {
        let user_and_client = || token().user_name("ada@example.com").client_id(self.name);
        match by {
            By::UserAndClient => user_and_client(),
            By::Id => token().id(self.id.clone()),
            By::UserAndClientAndId => user_and_client().id(self.id.clone()),
        }
    }

    /// Reads the refresh token that the request would send, and saves the response.
    fn refresh(&mut self, store: &dyn TokenStore, by: By) {
        let row = store.find_stored(&self.query(by).build()).unwrap().expect("the client's row");
        self.assert_is(&row);
        self.round += 1;
        let id = save(store, tokens(self.query(by), self.name, self.round));
        assert_eq!(id, self.id, "{} by {by:?}: a refresh updates the client's row", self.name);
        self.assert_is(&store.find_token_by_id(&id).unwrap().unwrap());
    }

    /// Sees that the row has the last tokens of this client, and nothing of the other.
    fn assert_is(&self, row: &Token) {
        assert_eq!(row.id(), Some(&self.id));
        assert_eq!(row.client_id(), Some(self.name));
        let text = |secret: Option<&Secret>| secret.map(|secret| secret.expose_secret().to_owned());
        let (access, refresh) = (format!("access {} {}", self.round, self.name), self.refresh_token());
        assert_eq!(text(row.access_token()), Some(access));
        assert_eq!(text(row.refresh_token()), Some(refresh));
        let other = CLIENTS.into_iter().find(|other| *other != self.name).unwrap();
        let secrets = [row.client_secret(), row.refresh_token(), row.access_token(), row.grant_token(), row.id_token()];
        let attributes = row.attributes().map(|(_, value)| value);
        for secret in secrets.into_iter().flatten().chain(attributes) {
            assert!(!secret.expose_secret().contains(other), "a secret of the other client in {row:?}");
        }
        assert_eq!(row.client_secret().is_some(), self.name == "confidential");
    }

    /// The public client's refresh token rotates.
    fn refresh_token(&self) -> String {
        format!("refresh {} {}", if self.name == "public" { self.round } else { 0 }, self.name)
    }
}

/// What the response of that round brings. The confidential client's has no refresh token after the first.
fn tokens(token: TokenBuilder, name: &str, round: usize) -> TokenBuilder {
    let token = token
        .access_token(format!("access {round} {name}"))
        .id_token(format!("id token {round} {name}"))
        .attribute("device", format!("device {round} {name}"))
        .expires_in(Duration::from_secs(3600));
    if round == 0 || name == "public" { token.refresh_token(format!("refresh {round} {name}")) } else { token }
}

fn save(store: &dyn TokenStore, token: TokenBuilder) -> TokenId {
    store.save_token(&token.build()).unwrap()
}

/// Signs in twice, and refreshes in that order: which client, and by what.
fn refresh_in_order(store: &dyn TokenStore, order: impl IntoIterator<Item = (usize, By)>) {
    let mut clients = CLIENTS.map(|name| Client::sign_in(store, name));
    for (which, by) in order {
        clients[which].refresh(store, by);
        let rows = store.get_tokens().unwrap();
        assert_eq!(rows.len(), 2, "two clients of one user are two rows");
        rows.iter().zip(&clients).for_each(|(row, client)| client.assert_is(row));
    }
    assert!(clients.iter().all(|client| client.round >= 10), "ten refreshes each");
}

fn in_turn(by: By) -> impl Iterator<Item = (usize, By)> {
    (0..20).map(move |n| (n % 2, by))
}

#[test]
fn two_clients_stay_two_rows_by_user_and_client() {
    in_each_store(|store| refresh_in_order(store, in_turn(By::UserAndClient)));
}

#[test]
fn two_clients_stay_two_rows_by_id() {
    in_each_store(|store| refresh_in_order(store, in_turn(By::Id)));
}

#[test]
fn two_clients_stay_two_rows_in_a_random_mixture() {
    // Numerical Recipes' generator: the same mixture in each run.
    let mut state = 14_u32;
    let mut random = |count: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        usize::try_from((state >> 16) % count).unwrap()
    };
    let ways = [By::UserAndClient, By::Id, By::UserAndClientAndId];
    let order: Vec<_> = (0..40).map(|_| (random(2), ways[random(3)])).collect();
    in_each_store(|store| refresh_in_order(store, order.iter().copied()));
}

#[test]
fn user_name_alone_is_refused_for_two_clients() {
    in_each_store(|store| {
        let _ = CLIENTS.map(|name| Client::sign_in(store, name));
        let rows = store.get_tokens().unwrap();
        let query = token().user_name("ada@example.com").access_token("new").build();
        assert!(matches!(store.find_token(&query), Err(tokenkeep::Error::Ambiguous { count: 2, .. })));
        assert!(matches!(store.save_token(&query), Err(tokenkeep::Error::Ambiguous { count: 2, .. })));
        assert_eq!(store.get_tokens().unwrap(), rows);
    });
}

#[test]
fn id_of_one_client_takes_no_token_of_the_other() {
    in_each_store(|store| {
        let [confidential, _] = CLIENTS.map(|name| Client::sign_in(store, name));
        let rows = store.get_tokens().unwrap();
        let mixed = tokens(token().id(confidential.id).client_id("public"), "public", 1).build();
        assert!(matches!(store.save_token(&mixed), Err(tokenkeep::Error::OtherClient { .. })));
        assert_eq!(store.get_tokens().unwrap(), rows);
    });
}

#[test]
fn client_without_user_name_refreshes_by_id_in_one_row() {
    in_each_store(|store| {
        let id = save(store, token().client_id("public").refresh_token("refresh 0"));
        for round in 1..=10 {
            let row = store.find_token_by_id(&id).unwrap().unwrap();
            let sent = row.refresh_token().unwrap().expose_secret();
            assert_eq!(sent, format!("refresh {}", round - 1), "the current refresh token");
            let response = token().id(id.clone()).client_id("public").access_token(format!("access {round}"));
            assert_eq!(save(store, response.refresh_token(format!("refresh {round}"))), id);
            assert_eq!(store.get_tokens().unwrap().len(), 1);
        }
    });
}

#[test]
fn client_that_sends_its_old_refresh_token_stays_one_row() {
    // A provider that does not rotate: the refresh token and the client id find the row, without a client secret.
    in_each_store(|store| {
        let id = save(store, token().client_id("public").refresh_token("stays"));
        for round in 1..=5 {
            let response = token().client_id("public").refresh_token("stays").access_token(format!("access {round}"));
            assert_eq!(save(store, response), id);
        }
        assert_eq!(store.get_tokens().unwrap().len(), 1);
    });
}

#[test]
fn five_refreshes_of_a_public_client_stay_one_row() {
    in_each_store(|store| {
        let client = || token().user_name("ada@example.com").client_id("public");
        let id = save(store, client().refresh_token("refresh 0"));
        for round in 1..=5 {
            let response = client().access_token(format!("access {round}"));
            assert_eq!(save(store, response.refresh_token(format!("refresh {round}"))), id);
        }
        let rows = store.get_tokens().unwrap();
        assert_eq!(rows.len(), 1);
        let query = token().client_id("public").refresh_token("refresh 5").build();
        assert_eq!(store.find_stored(&query).unwrap(), rows.first().cloned(), "its current refresh token finds it");
    });
}

#[test]
fn fresh_access_token_of_unknown_expiry_leaves_no_past_one() {
    in_each_store(|store| {
        let client = || token().user_name("ada@example.com").client_id("public");
        let now = SystemTime::now();
        let past = now - Duration::from_secs(1);
        save(store, client().refresh_token("r").access_token("old").expires_at(past));
        let row = || store.find_stored(&client().build()).unwrap().unwrap();
        assert!(row().is_expired(now));

        save(store, client().access_token("fresh").expiry_unknown());
        assert_eq!((row().expires_at(), row().is_expired(now), row().remaining(now)), (None, false, None));
        assert_eq!(row().refresh_token().unwrap().expose_secret(), "r");

        save(store, client().access_token("old").expires_at(past));
        let response_without_lifetime: Option<Duration> = None;
        save(store, client().access_token("fresh").maybe_expires_in(response_without_lifetime));
        assert!(!row().is_expired(now));
    });
}
