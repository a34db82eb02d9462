//! The walk from a copy of a stack to the addresses of its frames.
//!
//! framehop does the walking, by the tables that the compiler has made for unwinding, which every
//! loaded module carries. They are copied, too: a library may be unloaded at any time.

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, UnwindRegsNative, Unwinder,
    UnwinderNative,
};

use super::snapshot::Snapshot;
use crate::sys::memory::modules::{self, Module};

/// The maximum number of frames in a trace.
const FRAMES_MAX: usize = 64;

/// Addresses for looking up symbols, innermost first.
pub(super) fn walk(snapshot: &Snapshot) -> Vec<usize> {
    let mut unwinder = UnwinderNative::<Vec<u8>, MayAllocateDuringUnwind>::new();
    let modules = modules::with_unwinding_tables();
    modules.into_iter().for_each(|module| unwinder.add_module(for_framehop(module)));
    let mut cache = CacheNative::<MayAllocateDuringUnwind>::new();
    let mut read = |address: u64| snapshot.word(address as usize).map(|word| word as u64).ok_or(());
    let mut frames =
        unwinder.iter_frames(snapshot.pc as u64, registers(snapshot), &mut cache, &mut read);
    let mut addresses = Vec::new();
    while addresses.len() < FRAMES_MAX
        && let Ok(Some(frame)) = frames.next()
    {
        addresses.push(frame.address_for_lookup() as usize);
    }
    addresses
}

#[cfg(target_arch = "x86_64")]
fn registers(snapshot: &Snapshot) -> UnwindRegsNative {
    UnwindRegsNative::new(snapshot.pc as u64, snapshot.sp as u64, snapshot.fp as u64)
}

#[cfg(target_arch = "aarch64")]
fn registers(snapshot: &Snapshot) -> UnwindRegsNative {
    UnwindRegsNative::new(snapshot.lr as u64, snapshot.sp as u64, snapshot.fp as u64)
}

/// Turns a loaded module into one of framehop's.
fn for_framehop(module: Module) -> framehop::Module<Vec<u8>> {
    let Module { base, mapped, text, index, frames } = module;
    let sections = ExplicitModuleSectionInfo {
        base_svma: 0,
        text_svma: text,
        eh_frame: Some(frames.bytes),
        eh_frame_svma: Some(frames.place),
        eh_frame_hdr: Some(index.bytes),
        eh_frame_hdr_svma: Some(index.place),
        ..Default::default()
    };
    framehop::Module::new(String::new(), mapped, base, sections)
}
