//! Which addresses belong to the public internet.
//!
//! Rule: an address is public only if it is known to be; addresses that carry another one (mapped, NAT64, 6to4, Teredo) are
//! not. The ranges are those of the IANA special-purpose address registries (RFC 6890 and its updates).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the public internet.
    Global,
    /// To this machine or a private network: only with the right to.
    Private,
    /// To nothing a tool has business with: link-local (where clouds keep their secrets), multicast, reserved, translated.
    Never,
}

/// Tells where an address leads.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127, ..] | [10, ..] | [192, 168, ..] => Reach::Private,
        [172, 16..=31, ..] | [100, 64..=127, ..] => Reach::Private,
        // This network, link-local, protocol assignments, documentation, 6to4 relays, benchmarks, multicast and reserved.
        [0, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Reach::Never,
        [192, 88, 99, _] | [198, 18 | 19, ..] | [224..=255, ..] => Reach::Never,
        _ => Reach::Global,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(inner) = address.to_ipv4_mapped() {
        return match reach_v4(inner) {
            Reach::Private => Reach::Private,
            _ => Reach::Never,
        };
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] | [0xfc00..=0xfdff, ..] => Reach::Private,
        // Protocol assignments with Teredo and ORCHID, documentation, 6to4.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Global,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        let cases: &[(Reach, &[&str])] = &[
            (
                Reach::Global,
                &[
                    "1.1.1.1",
                    "8.8.8.8",
                    "93.184.215.14",
                    "100.63.255.255",
                    "100.128.0.0",
                    "172.15.0.1",
                    "172.32.0.1",
                    "192.0.1.1",
                    "192.167.0.1",
                    "192.169.0.1",
                    "198.17.0.1",
                    "198.20.0.1",
                    "223.255.255.255",
                    "2606:4700::1111",
                    "2a00:1450:4001::1",
                    "2001:200::1",
                    "2001:4860:4860::8888",
                    "3fff:1000::1",
                ],
            ),
            (
                Reach::Private,
                &[
                    "10.0.0.0",
                    "10.255.255.255",
                    "127.0.0.1",
                    "127.255.255.254",
                    "172.16.0.1",
                    "172.31.255.255",
                    "192.168.0.1",
                    "100.64.0.1",
                    "100.127.255.255",
                    "::1",
                    "fc00::1",
                    "fd00::1",
                    "fdff::1",
                    "::ffff:127.0.0.1",
                    "::ffff:10.0.0.1",
                ],
            ),
            (
                Reach::Never,
                &[
                    "0.0.0.0",
                    "0.1.2.3",
                    "169.254.169.254",
                    "169.254.0.1",
                    "192.0.0.1",
                    "192.0.0.170",
                    "192.0.2.1",
                    "192.88.99.1",
                    "198.18.0.1",
                    "198.19.255.255",
                    "198.51.100.7",
                    "203.0.113.9",
                    "224.0.0.1",
                    "239.1.1.1",
                    "240.0.0.1",
                    "255.255.255.255",
                    "::",
                    "::7f00:1",
                    "::ffff:8.8.8.8",
                    "::ffff:169.254.169.254",
                    "::ffff:0:127.0.0.1",
                    "64:ff9b::7f00:1",
                    "64:ff9b::808:808",
                    "64:ff9b:1::1",
                    "100::1",
                    "2001::1",
                    "2001:0:1::1",
                    "2001:2::1",
                    "2001:10::1",
                    "2001:20::1",
                    "2001:db8::1",
                    "2002:7f00:1::",
                    "2002:808:808::",
                    "3fff::1",
                    "5f00::1",
                    "fe80::1",
                    "fec0::1",
                    "ff02::1",
                    "ff05::2",
                    "4000::1",
                    "e000::1",
                ],
            ),
        ];
        for (expected, addresses) in cases {
            for text in *addresses {
                assert_eq!(reach(text.parse().expect(text)), *expected, "{text}");
            }
        }
    }
}
