//! An address to listen on, as the configuration writes it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(Option<SocketAddr>);

impl Address {
    /// Do not listen.
    pub const OFF: Address = Address(None);

    /// A port of the loopback address.
    pub const fn local(port: u16) -> Self {
        Address(Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)))
    }

    /// The address; `None` if off.
    pub const fn get(self) -> Option<SocketAddr> {
        self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("off"),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        match text.as_str() {
            "off" => Ok(Address::OFF),
            text => match text.parse() {
                Ok(address) => Ok(Address(Some(address))),
                Err(_) => Err(serde::de::Error::custom(format!(
                    "{text:?} is no address; write IP:PORT such as 127.0.0.1:8080 (0.0.0.0 for all interfaces), or off"
                ))),
            },
        }
    }
}
