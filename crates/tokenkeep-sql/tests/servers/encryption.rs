//! Encrypted connections, with the certificate of a private authority.

use std::{
    net::ToSocketAddrs,
    path::{Path, PathBuf},
    process::Command,
};

use tokenkeep::{ErrorKind, TokenStore};
use tokenkeep_sql::{Database, Problem, SqlStore};

use crate::{
    common::{Fixture, paper, problem, token},
    database::{self, Place},
};

/// A name of this machine that says nothing about where it is, as that of another machine.
fn other_name() -> Option<String> {
    let name = Command::new("hostname").output().ok()?;
    let name = String::from_utf8(name.stdout).ok()?.trim().to_owned();
    let is_here =
        (name.as_str(), 1).to_socket_addrs().is_ok_and(|found| found.into_iter().any(|to| to.ip().is_loopback()));
    (is_here && name != "localhost").then_some(name)
}

/// An authority, and a certificate that it has signed for `localhost` and the other name: the directory with `ca.pem`,
/// `server.pem` and `server.key`.
fn certificates(names: &str) -> PathBuf {
    let directory = tempfile::tempdir().unwrap().keep();
    let script = format!(
        "cd '{}' && umask 022 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -keyout ca.key -out ca.pem -subj /CN=authority && \
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr \
         -subj /CN=server && printf 'subjectAltName={names}\\nbasicConstraints=CA:FALSE\\n' > extensions && \
         openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions \
         -out server.pem && chmod 755 . && chmod 644 *",
        directory.display()
    );
    let made = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    directory
}

#[test]
fn certificate_of_a_private_authority_needs_to_be_named() {
    let other = other_name();
    let name = other.as_deref().map_or_else(String::new, |name| format!(",DNS:{name}"));
    let directory = certificates(&format!("DNS:localhost{name}"));
    let server = Box::leak(Box::new(database::start_encrypted(&directory)));
    let fixture = Fixture::in_place(Place::on(server), &Default::default());
    fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    let at = |host: &str| Database::url(&fixture.url.replace("127.0.0.1", host));
    let authority = directory.join("ca.pem");

    let store = SqlStore::open(at("localhost").certificate_authority(&authority), &paper()).unwrap();
    assert_eq!(store.get_tokens().unwrap().len(), 1);
    assert!(fixture.place.has_encrypted_connection());
    // The certificate is not for this address.
    let refused = SqlStore::open(at("127.0.0.1").certificate_authority(&authority), &paper());
    assert_eq!(problem(refused), Problem::Untrusted);
    let other_authority = certificates("DNS:localhost").join("ca.pem");
    let refused = SqlStore::open(at("localhost").certificate_authority(&other_authority), &paper());
    assert_eq!(problem(refused), Problem::Untrusted);
    let refused = SqlStore::open(at("localhost").certificate_authority(Path::new("/no/such/ca.pem")), &paper());
    assert!(refused.is_err());

    let Some(name) = other else {
        println!("NOT TESTED: this machine has no name but localhost");
        return;
    };
    // Another machine, by its name: encrypted without being asked for, and so refused without the authority.
    let error = SqlStore::open(at(&name), &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    assert_eq!(problem::<()>(Err(error)), Problem::Untrusted);
    assert!(SqlStore::open(at(&name).certificate_authority(&authority), &paper()).is_ok());
    assert!(SqlStore::open(at(&name).unencrypted(), &paper()).is_ok());
    // A server that cannot encrypt is refused as well.
    let plain = Fixture::new();
    let url = plain.url.replace("127.0.0.1", &name);
    assert_eq!(problem(SqlStore::open(&url, &paper())), Problem::Untrusted);
    assert!(SqlStore::open(Database::url(&url).unencrypted(), &paper()).is_ok());
}
