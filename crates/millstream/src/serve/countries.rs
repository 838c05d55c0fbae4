//! The country of an address, from a MaxMind database that the user supplies.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use maxminddb::{PathElement, Reader};
use millstream_delivery::screen::{Countries, Country};

use super::watched;

/// Largest database that is read, in bytes: it is held in memory.
const MAX_FILE: u64 = 1 << 30;

type Database = Reader<Vec<u8>>;

/// Opens the database, and takes it anew when its file changes.
///
/// # Errors
/// If it cannot be read, or is no such database.
pub fn open(path: &Path) -> Result<Countries> {
    let current = Arc::new(RwLock::new(Arc::new(read(path)?)));
    let shared = Arc::clone(&current);
    watched::follow(PathBuf::from(path), "viewers.country_database", move |path| {
        *shared.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read(path)?);
        Ok(())
    });
    Ok(Arc::new(move |address| {
        let database = Arc::clone(&current.read().unwrap_or_else(PoisonError::into_inner));
        country(&database, address)
    }))
}

fn read(path: &Path) -> Result<Database> {
    let bytes = watched::read(path, MAX_FILE).context("viewers.country_database")?;
    let database = Reader::from_source(bytes).map_err(anyhow::Error::from);
    database.with_context(|| {
        format!("viewers.country_database {} is no MaxMind database; give a whole .mmdb file", path.display())
    })
}

/// As MaxMind and DB-IP have it, or as IPinfo has it.
fn country(database: &Database, address: IpAddr) -> Option<Country> {
    let found = database.lookup(address.to_canonical()).ok()?;
    let places: [&[PathElement<'_>]; 3] = [
        &[PathElement::Key("country"), PathElement::Key("iso_code")],
        &[PathElement::Key("country_code")],
        &[PathElement::Key("country")],
    ];
    places.into_iter().find_map(|place| Country::parse(found.decode_path::<&str>(place).ok()??))
}
