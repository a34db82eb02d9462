//! Properties that hold for any bytes, as functions for a fuzzer (`fuzz/`). They are compiled for
//! fuzzing and for the tests only, which check the seeds.

/// Checks the parser of PROXY headers.
pub fn proxy(bytes: &[u8]) {
    crate::stream::proxy::check(bytes);
}

/// Checks the parser of scripts' headers.
pub fn cgi(bytes: &[u8]) {
    crate::web::check_script(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_properties_hold_for_the_seeds_and_their_neighbours() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        for (name, check) in [("proxy", proxy as fn(&[u8])), ("cgi", cgi)] {
            let mut count = 0;
            for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
                let mut bytes = std::fs::read(seed.unwrap().path()).unwrap();
                check(&bytes);
                count += 1;
                // Also its neighbours, in which one byte differs.
                for at in 0..bytes.len() {
                    for other in [0, b'\r', b'\n', b' ', b':', b'0', 0xff] {
                        let byte = std::mem::replace(&mut bytes[at], other);
                        check(&bytes);
                        bytes[at] = byte;
                    }
                }
            }
            assert!(count > 0, "{name} has no seeds");
        }
    }
}
