//! The table of operations in flight: slot + generation = [`Token`].
//!
//! A token is given out when an operation starts and taken back at its terminal completion. A slot
//! is used again with the next generation, and never after its last one, so a token of the past
//! never names a present owner.

use std::fmt;

/// Names one entry of a [`Table`]: the slot in the low half, its generation in the high half.
///
/// The top bit is never set, so that a backend has half of all 64-bit values for its own use.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Token(u64);

/// The last generation of a slot: the next one would touch a token's top bit.
const GENERATION_LAST: u32 = 0x7fff_ffff;

impl Token {
    fn new(slot: u32, generation: u32) -> Token {
        Token(u64::from(generation) << 32 | u64::from(slot))
    }

    /// Returns the token as the kernel carries it (`user_data`).
    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the token that [`Token::to_bits`] turned into `bits`.
    pub(crate) fn from_bits(bits: u64) -> Token {
        Token(bits)
    }

    /// Returns the token's place in a table: a small number that no other operation in flight has.
    #[inline]
    pub(crate) fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}.{})", self.slot(), self.generation())
    }
}

/// The table is at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

enum Entry<O> {
    Used(O),
    /// The next free slot, or [`NONE`]; it has no meaning in a slot that has been used up.
    Free(u32),
}

struct Slot<O> {
    generation: u32,
    entry: Entry<O>,
}

const NONE: u32 = u32::MAX;

/// Owners by token.
pub(crate) struct Table<O> {
    slots: Vec<Slot<O>>,
    free: u32,
    live: usize,
    limit: usize,
}

impl<O> Table<O> {
    /// Makes an empty table that holds `limit` owners at most.
    pub(crate) fn new(limit: usize) -> Table<O> {
        Table { slots: Vec::new(), free: NONE, live: 0, limit: limit.min(NONE as usize) }
    }

    /// Counts its owners.
    pub(crate) fn len(&self) -> usize {
        self.live
    }

    /// Returns the owners, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &O> {
        self.slots.iter().filter_map(|slot| match &slot.entry {
            Entry::Used(owner) => Some(owner),
            Entry::Free(_) => None,
        })
    }

    /// Adds `owner`, or gives it back if the table is full.
    pub(crate) fn insert(&mut self, owner: O) -> Result<Token, (Full, O)> {
        let is_used_up = self.free == NONE && self.slots.len() == NONE as usize;
        if self.live == self.limit || is_used_up {
            return Err((Full, owner));
        }
        self.live += 1;
        if self.free == NONE {
            let slot = self.slots.len() as u32;
            self.slots.push(Slot { generation: 0, entry: Entry::Used(owner) });
            return Ok(Token::new(slot, 0));
        }
        let slot = self.free;
        let place = &mut self.slots[slot as usize];
        let Entry::Free(next) = place.entry else {
            unreachable!("the free list names a used slot")
        };
        self.free = next;
        place.entry = Entry::Used(owner);
        Ok(Token::new(slot, place.generation))
    }

    /// Returns the owner of `token`, while it is in flight.
    #[inline]
    pub(crate) fn get(&self, token: Token) -> Option<&O> {
        match self.slots.get(token.slot()) {
            Some(Slot { generation, entry: Entry::Used(owner) })
                if *generation == token.generation() =>
            {
                Some(owner)
            }
            _ => None,
        }
    }

    /// Returns the owner of `token`, to change it.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut O> {
        match self.slots.get_mut(token.slot()) {
            Some(Slot { generation, entry: Entry::Used(owner) })
                if *generation == token.generation() =>
            {
                Some(owner)
            }
            _ => None,
        }
    }

    /// Ends `token` and gives its owner back; `None` for a token that is not in flight.
    pub(crate) fn remove(&mut self, token: Token) -> Option<O> {
        self.get_mut(token)?;
        let place = &mut self.slots[token.slot()];
        let entry = std::mem::replace(&mut place.entry, Entry::Free(self.free));
        if place.generation < GENERATION_LAST {
            place.generation += 1;
            self.free = token.slot() as u32;
        }
        self.live -= 1;
        match entry {
            Entry::Used(owner) => Some(owner),
            Entry::Free(_) => unreachable!("get_mut found it used"),
        }
    }

    /// Returns every owner with its token.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, &O)> {
        self.slots.iter().enumerate().filter_map(|(slot, place)| match &place.entry {
            Entry::Used(owner) => Some((Token::new(slot as u32, place.generation), owner)),
            Entry::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_token_of_the_past_never_names_a_present_owner() {
        let mut table = Table::new(8);
        let first = table.insert("first").unwrap();
        assert_eq!(table.remove(first), Some("first"));
        let second = table.insert("second").unwrap();
        assert_eq!(first.slot(), second.slot(), "the slot is used again");
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(second), Some("second"));
    }

    #[test]
    fn a_full_table_gives_the_owner_back() {
        let mut table = Table::new(1);
        table.insert(1).unwrap();
        assert_eq!(table.insert(2), Err((Full, 2)));
    }

    #[test]
    fn s16_a_slot_is_not_used_again_after_its_last_generation() {
        let mut table = Table::new(2);
        let first = table.insert("first").unwrap();
        table.slots[0].generation = GENERATION_LAST;
        let last = Token::new(0, GENERATION_LAST);
        assert_eq!(last.to_bits() >> 63, 0, "the top bit is a backend's");
        assert_eq!(table.remove(last), Some("first"));
        assert_eq!((table.get(first), table.get(last), table.len()), (None, None, 0));
        let next = [table.insert("second").unwrap(), table.insert("third").unwrap()];
        assert_eq!(next, [Token::new(1, 0), Token::new(2, 0)]);
        assert_eq!(table.insert("fourth"), Err((Full, "fourth")));
        assert_eq!(table.remove(first), None, "no entry has this token");
        assert_eq!(table.remove(next[0]), Some("second"));
        assert_eq!(table.insert("fifth"), Ok(Token::new(1, 1)));
        println!("RELIABILITY S16 1 generation at its end");
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(
            steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..300)
        ) {
            let mut table = Table::new(64);
            let mut model: HashMap<u64, u16> = HashMap::new();
            let mut given: Vec<Token> = Vec::new();
            for (insert, value) in steps {
                if insert {
                    match table.insert(value) {
                        Ok(token) => {
                            prop_assert!(model.insert(token.to_bits(), value).is_none());
                            given.push(token);
                        }
                        Err((Full, back)) => {
                            prop_assert_eq!(back, value);
                            prop_assert_eq!(model.len(), 64);
                        }
                    }
                } else if !given.is_empty() {
                    let token = given[value as usize % given.len()];
                    prop_assert_eq!(table.remove(token), model.remove(&token.to_bits()));
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.iter().count(), model.len());
            }
        }
    }
}
