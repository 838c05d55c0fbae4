//! Writes small MaxMind databases of countries for tests (MaxMind DB File Format Specification 2.0). No licensed data.

use std::net::Ipv4Addr;

/// A node of the tree: what follows a 0 and a 1.
#[derive(Clone, Copy, Default)]
struct Node([Next; 2]);

#[derive(Clone, Copy, Default)]
enum Next {
    #[default]
    Nothing,
    Node(usize),
    Country(usize),
}

/// A database in which these networks (address and prefix length, none within another) lie in these countries.
pub fn countries(networks: &[(Ipv4Addr, u32, &str)]) -> Vec<u8> {
    let mut nodes = vec![Node::default()];
    for (index, (address, length, _)) in networks.iter().enumerate() {
        let bits = u32::from(*address);
        let mut at = 0;
        for depth in 0..*length {
            let side = (bits >> (31 - depth) & 1) as usize;
            if depth + 1 == *length {
                nodes[at].0[side] = Next::Country(index);
            } else if let Next::Node(next) = nodes[at].0[side] {
                at = next;
            } else {
                nodes.push(Node::default());
                let next = nodes.len() - 1;
                nodes[at].0[side] = Next::Node(next);
                at = next;
            }
        }
    }
    // `{"country": {"iso_code": "DE"}}`, each at its offset.
    let (mut data, mut offsets) = (Vec::new(), Vec::new());
    for (_, _, country) in networks {
        offsets.push(data.len());
        map(&mut data, 1);
        text(&mut data, "country");
        map(&mut data, 1);
        text(&mut data, "iso_code");
        text(&mut data, country);
    }
    let mut out = Vec::new();
    for node in &nodes {
        for next in node.0 {
            let record = match next {
                Next::Nothing => nodes.len(),
                Next::Node(node) => node,
                Next::Country(index) => nodes.len() + 16 + offsets[index],
            };
            out.extend_from_slice(&(record as u32).to_be_bytes()[1..]);
        }
    }
    out.extend_from_slice(&[0; 16]);
    out.extend_from_slice(&data);
    out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
    map(&mut out, 9);
    for (key, value) in
        [("binary_format_major_version", 2), ("binary_format_minor_version", 0), ("ip_version", 4), ("record_size", 24)]
    {
        text(&mut out, key);
        // Type 5, a number of 16 bits.
        out.push(5 << 5 | 2);
        out.extend_from_slice(&u16::to_be_bytes(value));
    }
    text(&mut out, "node_count");
    out.push(6 << 5 | 4);
    out.extend_from_slice(&(nodes.len() as u32).to_be_bytes());
    text(&mut out, "build_epoch");
    // Type 9, a number of 64 bits, is beyond the first byte.
    out.extend_from_slice(&[8, 2]);
    out.extend_from_slice(&1_800_000_000_u64.to_be_bytes());
    text(&mut out, "database_type");
    text(&mut out, "Test-Country");
    text(&mut out, "languages");
    // Type 11, a list, of nothing.
    out.extend_from_slice(&[0, 4]);
    text(&mut out, "description");
    map(&mut out, 0);
    out
}

fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(7 << 5 | pairs);
}

fn text(out: &mut Vec<u8>, value: &str) {
    assert!(value.len() < 29, "longer texts have longer heads");
    out.push(2 << 5 | value.len() as u8);
    out.extend_from_slice(value.as_bytes());
}
