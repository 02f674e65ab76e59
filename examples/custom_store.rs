//! An application's own `TokenStore`: a `BTreeMap`, and a JSON file that holds it.
//!
//!     cargo run --example custom_store
//!
//! The rules of save and find come from `tokenkeep::matching`, and `tokenkeep::testing::conformance` checks the store against
//! them. **It encrypts nothing.** It shows how to build a store of your own, for example over a database that is already
//! encrypted. For a file, use `Keystore`.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use serde_json::{Map, Value, json};
use tokenkeep::{Origin, Result, Secret, Token, TokenId, TokenStore, matching};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokens.json");
    tokenkeep::testing::conformance(&JsonStore::open(&path)?);
    println!("the store keeps the contract of TokenStore");

    // Libraries that keep tokens take any store.
    let store: Arc<dyn TokenStore> = Arc::new(JsonStore::open(&path)?);
    store.save_token(&Token::builder().user_name("ada").refresh_token("an-example").build())?;
    drop(store);
    let reopened = JsonStore::open(&path)?;
    println!("after reopening it holds {} token", reopened.get_tokens()?.len());
    Ok(())
}

struct JsonStore {
    path: PathBuf,
    rows: Mutex<Shelf>,
}

/// Rows by their place, which is the order in which they came.
#[derive(Clone, Default)]
struct Shelf {
    rows: BTreeMap<u64, Token>,
    next_place: u64,
    next_id: u64,
}

impl matching::Rows for Shelf {
    type Place = u64;

    fn origin(&self) -> Origin {
        origin()
    }

    fn rows(&mut self, criterion: matching::Criterion<'_>) -> Result<Vec<(u64, Token)>> {
        let found = self.rows.iter().filter(|(_, row)| criterion.matches(row));
        Ok(found.map(|(place, row)| (*place, row.clone())).collect())
    }
}

/// The store that revisions count in. An application with several such stores makes it from their paths.
fn origin() -> Origin {
    Origin::of("the JSON store")
}

impl Shelf {
    fn put(&mut self, write: matching::RowWrite<u64>) {
        let place = write.place.unwrap_or(self.next_place);
        self.next_place = self.next_place.max(place + 1);
        self.rows.insert(place, write.token);
    }

    fn by_id(&mut self, id: &TokenId) -> Result<Option<(u64, Token)>> {
        Ok(matching::Rows::rows(self, matching::Criterion::Id(id))?.into_iter().next())
    }
}

impl TokenStore for JsonStore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.write(|shelf| {
            let next_id = shelf.next_id;
            let save = matching::save(shelf, token, SystemTime::now(), || Ok(TokenId::from(next_id.to_string())))?;
            let id = save.token.id().cloned().ok_or_else(|| tokenkeep::Error::other("a row without an id"))?;
            // Whoever supplied it, a number that was an id is never chosen again.
            if let Ok(number) = id.as_str().parse::<u64>() {
                shelf.next_id = next_id.max(number.saturating_add(1));
            }
            shelf.put(save);
            Ok(id)
        })
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        matching::find(&mut *self.lock()?, query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        Ok(self.lock()?.by_id(id)?.map(|(_, row)| row))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        Ok(self.lock()?.rows.values().cloned().collect())
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.write(|shelf| {
            let found = shelf.by_id(id)?;
            Ok(found.and_then(|(place, _)| shelf.rows.remove(&place)).is_some())
        })
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.write(|shelf| Ok(std::mem::take(&mut shelf.rows).len()))
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut *self.lock()?, query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.write(|shelf| {
            let write = matching::replace(shelf, token, SystemTime::now())?;
            let row = write.token.clone();
            shelf.put(write);
            Ok(row)
        })
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.write(|shelf| {
            let place = matching::delete_if(shelf, id, revision)?;
            Ok(place.and_then(|place| shelf.rows.remove(&place)).is_some())
        })
    }
}

impl JsonStore {
    fn open(path: &Path) -> Result<Self> {
        let shelf = match fs::read(path) {
            Ok(bytes) => read_json(&serde_json::from_slice(&bytes).map_err(tokenkeep::Error::other)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Some(Shelf { next_id: 1, ..Shelf::default() })
            }
            Err(error) => return Err(tokenkeep::Error::other(error)),
        };
        let shelf = shelf.ok_or_else(|| tokenkeep::Error::other("the file is not one of this store's"))?;
        Ok(Self { path: path.to_owned(), rows: Mutex::new(shelf) })
    }

    fn lock(&self) -> Result<MutexGuard<'_, Shelf>> {
        self.rows.lock().map_err(|_| tokenkeep::Error::other("another thread panicked while it used the store"))
    }

    /// All or nothing: the change is made on a copy, which is written to a new file, which then takes the old one's name.
    fn write<R>(&self, change: impl FnOnce(&mut Shelf) -> Result<R>) -> Result<R> {
        let mut shelf = self.lock()?;
        let mut changed = shelf.clone();
        let result = change(&mut changed)?;
        self.replace(&write_json(&changed).to_string()).map_err(tokenkeep::Error::other)?;
        *shelf = changed;
        Ok(result)
    }

    /// A file for its owner alone, with a random name, on the disk before it takes the place of the old one.
    fn replace(&self, text: &str) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(&self.path)?;
        fs::File::open(folder)?.sync_all()
    }
}

fn write_json(shelf: &Shelf) -> Value {
    let rows: Vec<_> = shelf.rows.values().map(token_to_json).collect();
    json!({ "next_id": shelf.next_id, "rows": rows })
}

fn read_json(value: &Value) -> Option<Shelf> {
    let next_id = value["next_id"].as_u64()?;
    let rows: BTreeMap<_, _> =
        (0..).zip(value["rows"].as_array()?.iter().map(token_from_json).collect::<Option<Vec<_>>>()?).collect();
    let next_place = u64::try_from(rows.len()).ok()?;
    Some(Shelf { rows, next_place, next_id })
}

fn token_to_json(token: &Token) -> Value {
    let secret = |secret: Option<&Secret>| secret.map(Secret::expose_secret).map(str::to_owned);
    let attributes: Map<_, _> =
        token.attributes().map(|(name, value)| (name.to_owned(), value.expose_secret().into())).collect();
    json!({
        "id": token.id().map(TokenId::as_str),
        "user_name": token.user_name(),
        "client_id": token.client_id(),
        "client_secret": secret(token.client_secret()),
        "refresh_token": secret(token.refresh_token()),
        "access_token": secret(token.access_token()),
        "grant_token": secret(token.grant_token()),
        "id_token": secret(token.id_token()),
        "expires_at": token.expires_at().map(to_millis),
        "received_at": token.received_at().map(to_millis),
        "refresh_expires_at": token.refresh_expires_at().map(to_millis),
        "rejected_at": token.rejected_at().map(to_millis),
        "retry_at": token.retry_at().map(to_millis),
        "failed_refreshes": token.failed_refreshes(),
        "redirect_url": token.redirect_url(),
        "api_domain": token.api_domain(),
        "token_type": token.token_type(),
        "scopes": token.scopes(),
        "attributes": attributes,
        "created_at": token.created_at().map(to_millis),
        "updated_at": token.updated_at().map(to_millis),
        "revision": token.revision(),
    })
}

fn token_from_json(value: &Value) -> Option<Token> {
    // An empty text is the same as none.
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let time = |name: &str| value[name].as_u64().map(from_millis);
    let mut token = Token::builder()
        .id(text("id"))
        .user_name(text("user_name"))
        .client_id(text("client_id"))
        .client_secret(text("client_secret"))
        .refresh_token(text("refresh_token"))
        .access_token(text("access_token"))
        .grant_token(text("grant_token"))
        .id_token(text("id_token"))
        .redirect_url(text("redirect_url"))
        .api_domain(text("api_domain"))
        .token_type(text("token_type"))
        .scopes(value["scopes"].as_array()?.iter().filter_map(Value::as_str))
        .maybe_expires_at(time("expires_at"))
        .maybe_received_at(time("received_at"))
        .maybe_refresh_expires_at(time("refresh_expires_at"))
        .maybe_rejected_at(time("rejected_at"))
        .maybe_retry_at(time("retry_at"))
        .failed_refreshes(u32::try_from(value["failed_refreshes"].as_u64()?).ok()?)
        .stored(origin(), time("created_at")?, time("updated_at")?, value["revision"].as_u64()?);
    for (name, attribute) in value["attributes"].as_object()? {
        token = token.attribute(name.as_str(), attribute.as_str()?);
    }
    Some(token.build())
}

fn to_millis(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

fn from_millis(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_keeps_the_contract_and_its_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        tokenkeep::testing::conformance(&JsonStore::open(&path).unwrap());

        let token = Token::builder()
            .user_name("ada")
            .refresh_token("r")
            .expires_at(from_millis(1_795_000_000_123))
            .received_at(from_millis(1))
            .refresh_expires_at(from_millis(2))
            .rejected_at(from_millis(3))
            .retry_at(from_millis(4))
            .failed_refreshes(5)
            .scopes(["b", "a"])
            .attribute("k", "v");
        JsonStore::open(&path).unwrap().save_token(&token.build()).unwrap();
        let kept = JsonStore::open(&path).unwrap();
        assert_eq!(kept.get_tokens().unwrap(), JsonStore::open(&path).unwrap().get_tokens().unwrap());
        let row = kept.get_tokens().unwrap().remove(0);
        assert_eq!((row.scopes().len(), row.attribute("k"), row.revision()), (2, Some(&"v".into()), Some(1)));
    }
}
