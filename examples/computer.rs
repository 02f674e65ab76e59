//! The computer's name, which tells its key slot from those of other computers that use the same file. If two may have
//! one name, an application takes something else for the label.

#[cfg(unix)]
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
pub(crate) fn name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
