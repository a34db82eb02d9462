//! Many tasklets, a limited number at a time: [`TaskletGroup`] for any of them; [`map`],
//! [`map_unordered`] and [`par_map`] for the items of an iterator.

mod map;
mod par_map;
mod tasklet_group;

pub use map::{Map, MapUnordered, map, map_unordered};
pub use par_map::{ParMap, par_map};
pub use tasklet_group::TaskletGroup;
