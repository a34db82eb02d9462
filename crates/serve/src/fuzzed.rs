//! What holds for any bytes at all, as functions of bytes, for a fuzzer (`fuzz/`). Not there
//! otherwise, but the tests take those that are known.

/// The beginning of a connection that comes from a proxy.
pub fn proxy(bytes: &[u8]) {
    crate::stream::proxy::check(bytes);
}

/// What a script writes.
pub fn cgi(bytes: &[u8]) {
    crate::web::check_script(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_hold_for_the_seeds_and_their_neighbours() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        for (name, judge) in [("proxy", proxy as fn(&[u8])), ("cgi", cgi)] {
            let mut known = 0;
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                let mut bytes = std::fs::read(seed.unwrap().path()).unwrap();
                judge(&bytes);
                known += 1;
                // And what is close to it: each byte another one.
                for at in 0..bytes.len() {
                    for other in [0, b'\r', b'\n', b' ', b':', b'0', 0xff] {
                        let byte = std::mem::replace(&mut bytes[at], other);
                        judge(&bytes);
                        bytes[at] = byte;
                    }
                }
            }
            assert!(known > 0, "{name} has no seeds");
        }
    }
}
