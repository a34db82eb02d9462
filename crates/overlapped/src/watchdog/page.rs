//! Text that can be put together in a signal handler: without allocation, and without std's
//! formatting, which might need more room than a handler's stack has.

/// A sink for text, which comes in pieces.
pub(crate) trait Text {
    fn push(&mut self, text: &str);

    /// Appends a number in decimal.
    fn push_number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(std::str::from_utf8(&digits[first..]).unwrap_or_default());
    }

    /// Appends an address, as `{:p}` writes it.
    fn push_address(&mut self, address: usize) {
        const DIGITS: &str = "0123456789abcdef";
        let len = (usize::BITS - address.leading_zeros()).div_ceil(4).max(1);
        self.push("0x");
        for at in (0..len).rev() {
            let digit = address >> (4 * at) & 0xf;
            self.push(&DIGITS[digit..=digit]);
        }
    }
}

impl Text for String {
    fn push(&mut self, text: &str) {
        self.push_str(text);
    }
}

/// The size of a [`Page`] in bytes.
const PAGE: usize = 64 << 10;

/// Text of limited length; the rest is cut off.
pub(crate) struct Page {
    bytes: [u8; PAGE],
    len: usize,
    /// The number of tasklets, including those that are not on the page.
    pub(crate) tasklets: usize,
}

impl Page {
    pub(super) const EMPTY: Page = Page { bytes: [0; PAGE], len: 0, tasklets: 0 };

    pub(super) fn clear(&mut self) {
        (self.len, self.tasklets) = (0, 0);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == PAGE
    }

    /// Returns the text on the page.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.len]).into_owned()
    }
}

impl Text for Page {
    fn push(&mut self, text: &str) {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_does() {
        for number in [0, 9, 10, 4_711, u64::MAX] {
            let mut text = String::new();
            text.push_number(number);
            text.push_address(number as usize);
            let pointer: *const u8 = std::ptr::without_provenance(number as usize);
            assert_eq!(text, format!("{number}{pointer:p}"));
        }
    }

    #[test]
    fn text_beyond_the_end_of_a_page_is_cut_off() {
        let mut page = Box::new(Page::EMPTY);
        page.push(&"x".repeat(PAGE - 1));
        assert!(!page.is_full());
        page.push("yz");
        assert!(page.is_full() && page.text().ends_with("xy"));
        page.clear();
        assert_eq!(page.text(), "");
    }
}
