//! Checks the properties on the fuzzers' seeds and on what fuzzers found, in every run of the
//! tests.

mod properties;
mod support;

use std::path::Path;

use properties::PROPERTIES;
use testkit::Rng;

#[test]
fn properties_hold_for_the_seeds_and_for_close_variants() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut random = Rng(5);
    for (name, property) in PROPERTIES {
        let mut known = 0;
        for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
            let mut bytes = std::fs::read(seed.unwrap().path()).unwrap();
            property(&bytes);
            known += 1;
            // Also checks close variants: other cuts, and one byte changed.
            for _ in 0..testkit::rounds(200, 20_000) {
                let at = random.below(bytes.len());
                let byte = std::mem::replace(&mut bytes[at], random.next() as u8);
                property(&bytes);
                bytes[at] = byte;
            }
        }
        assert!(known > 0, "{name} has no seeds");
    }
}
