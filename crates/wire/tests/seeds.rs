//! What fuzzers begin with, and what they have found once, judged in every run of the tests.

mod fuzzed;
mod rig;

use std::path::Path;

use fuzzed::JUDGES;
use rig::random::Random;

#[test]
fn what_holds_for_any_bytes_holds_for_those_that_are_known() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let mut random = Random(5);
    for (name, judge) in JUDGES {
        let mut known = 0;
        for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
            let mut bytes = std::fs::read(seed.unwrap().path()).unwrap();
            judge(&bytes);
            known += 1;
            // And what is close to it: cut differently, one byte of it another one.
            for _ in 0..rig::rounds(200, 20_000) {
                let at = random.below(bytes.len());
                let byte = std::mem::replace(&mut bytes[at], random.next() as u8);
                judge(&bytes);
                bytes[at] = byte;
            }
        }
        assert!(known > 0, "{name} has no seeds");
    }
}
