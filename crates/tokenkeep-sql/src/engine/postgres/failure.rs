//! What the errors of PostgreSQL and of the connection to it mean.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState, types::WrongType};

use crate::engine::{Failure, FailureKind};

pub(super) fn unreachable_server(error: std::io::Error) -> Failure {
    let is_too_long = error.kind() == std::io::ErrorKind::FileTooLarge;
    let kind = if is_too_long { FailureKind::TooLong } else { FailureKind::Lost };
    Failure { kind, message: error.to_string() }
}

pub(super) fn failure(error: Error) -> Failure {
    let Some(refused) = error.as_db_error() else { return of_connection(&error) };
    // Its message alone: the details may show values.
    Failure { kind: kind_of(refused.code()), message: format!("{} ({})", refused.message(), refused.code().code()) }
}

/// What an error code of the server means.
fn kind_of(code: &SqlState) -> FailureKind {
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::TOO_MANY_CONNECTIONS => FailureKind::Contention,
        SqlState::QUERY_CANCELED => FailureKind::TimedOut,
        SqlState::READ_ONLY_SQL_TRANSACTION => FailureKind::ReadOnly,
        SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::INVALID_PASSWORD
        | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => FailureKind::Permission,
        SqlState::INVALID_CATALOG_NAME => FailureKind::NoDatabase,
        SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => FailureKind::NoTable,
        SqlState::UNDEFINED_COLUMN | SqlState::UNDEFINED_FUNCTION | SqlState::DATATYPE_MISMATCH => {
            FailureKind::OtherColumns
        }
        SqlState::DISK_FULL => FailureKind::Full,
        // A table, with its type, that another transaction makes at the same time counts as one that is there.
        // Held by `creators_at_the_same_time_get_the_same_store`: `SqlState::DUPLICATE_TABLE` instead of
        // `SqlState::DUPLICATE_TABLE | SqlState::DUPLICATE_OBJECT`.
        SqlState::UNIQUE_VIOLATION | SqlState::DUPLICATE_TABLE | SqlState::DUPLICATE_OBJECT => FailureKind::NotUnique,
        SqlState::STRING_DATA_RIGHT_TRUNCATION | SqlState::CHECK_VIOLATION => FailureKind::TooLong,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => FailureKind::Damaged,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => FailureKind::Lost,
        ref code => match code.code() {
            // `transaction_timeout` of PostgreSQL 17.
            "25P04" => FailureKind::Lost,
            code if code.starts_with("08") || code.starts_with("57P") => FailureKind::Lost,
            _ => FailureKind::Other,
        },
    }
}

/// An error of this side.
fn of_connection(error: &Error) -> Failure {
    let cause = error.source();
    let is_certificate = || {
        let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
    };
    let message = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    // The server asks for a login method that this driver does not have or does not allow.
    let is_login = message.starts_with("invalid configuration") || message.starts_with("authentication error");
    let kind = if is_login {
        FailureKind::Permission
    } else if is_certificate() || message.contains("does not support TLS") {
        FailureKind::Untrusted
    } else if cause.is_some_and(<dyn std::error::Error>::is::<WrongType>) {
        FailureKind::OtherColumns
    } else if cause.is_none_or(<dyn std::error::Error>::is::<std::io::Error>) {
        FailureKind::Lost
    } else {
        FailureKind::Other
    };
    Failure { kind, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_that_the_server_has_ended_is_a_lost_connection() {
        for code in ["25P03", "25P04", "57P01", "57P05", "08006"] {
            assert_eq!(kind_of(&SqlState::from_code(code)), FailureKind::Lost, "{code}");
        }
        assert_eq!(kind_of(&SqlState::from_code("25006")), FailureKind::ReadOnly);
        assert_eq!(kind_of(&SqlState::from_code("25P02")), FailureKind::Other);
    }
}
