//! How many files and connections the process may have open: as many as the system lets it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is open besides viewers' connections: contributions, workers, documents.
const BESIDES: u64 = 256;

/// Raises the limit of open files to the hard one, and gives what it is then; `None` stands for no limit.
pub fn raise_to_hard() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
    getrlimit(Resource::Nofile).current
}

/// Raises the limit, and says so if viewers' connections may not all fit.
pub fn raise(http_connections: u32) {
    if let Some(limit) = too_few(raise_to_hard(), http_connections) {
        tracing::warn!(
            limit,
            http_connections,
            "fewer files may be open than limits.http_connections needs; raise the limit (ulimit -Hn, or LimitNOFILE in \
             systemd) or lower limits.http_connections"
        );
    }
}

/// The limit, if it is below what so many connections need; `None` stands for no limit.
fn too_few(limit: Option<u64>, http_connections: u32) -> Option<u64> {
    limit.filter(|limit| *limit < u64::from(http_connections) + BESIDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_below_the_connections_is_told() {
        for (limit, connections, told) in [
            (None, 20_000, false),
            (Some(1024), 20_000, true),
            (Some(20_256), 20_000, false),
            (Some(20_255), 20_000, true),
        ] {
            assert_eq!(too_few(limit, connections).is_some(), told, "{limit:?}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        raise(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
