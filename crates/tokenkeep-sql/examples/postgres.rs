//! A store in PostgreSQL. README.md says how to start a server; this program starts none.
//!
//!     POSTGRES_URL=postgres://user:password@host/database cargo run -p tokenkeep-sql --features postgres --example
//!   postgres

use std::{env, error::Error, time::Duration};

use tokenkeep::{Answer, Need, RecoveryKey, Refreshed, Token, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::{Database, SqlOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("POSTGRES_URL").map_err(|_| "set POSTGRES_URL to the URL of the database")?;
    // A service keeps its key outside of the database: see docs/headless.md. This program makes a new one each time,
    // and tables of its own.
    let unlock = Unlock::from(RecoveryKey::generate()?);
    let tables = format!("example_{}", std::process::id());
    let database =
        Database::url(&url).connect_timeout(Duration::from_secs(5)).statement_timeout(Duration::from_secs(5));
    let store = SqlOptions::new().tables(&tables).connections(8).create(&database, &unlock)?;
    println!("{}", store.name());

    // The user has signed in; the access token has expired since.
    let query = Token::builder().user_name("ada@example.com").client_id("client").build();
    store.save_token(&query.to_builder().refresh_token("r0").access_token("a0").expires_in(Duration::ZERO).build())?;

    // Two handles, as two hosts have them: one of them refreshes, and both get the token.
    let other = SqlOptions::new().tables(&tables).open(&database, &unlock)?;
    let requests = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for store in [&store, &other] {
            scope.spawn(|| {
                let refreshed = store.refresh_with(&query, Need::default(), |_| {
                    requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    response()
                });
                match refreshed {
                    Ok(Refreshed::Fresh(token)) => println!("a fresh token, revision {:?}", token.revision()),
                    other => println!("not refreshed: {other:?}"),
                }
            });
        }
    });
    println!("{} request", requests.into_inner());
    Ok(())
}

/// Stands for the provider's answer.
fn response() -> Answer {
    std::thread::sleep(Duration::from_millis(100));
    Token::builder().access_token("a1").refresh_token("r1").expires_in(Duration::from_secs(3600)).build().into()
}
