//! What a command prints, kept in part: the beginning and the end, whatever the amount.

use std::collections::VecDeque;

/// The kept parts.
pub(crate) struct Output {
    /// Bytes kept of the beginning, and of the end.
    room: (usize, usize),
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Output {
    /// Keeps at most `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self::keeping((most / 2, most / 2))
    }

    /// Keeps at most `most` bytes of the end.
    pub(crate) fn end_of(most: usize) -> Self {
        Self::keeping((0, most))
    }

    fn keeping(room: (usize, usize)) -> Self {
        Self { room, head: Vec::new(), tail: VecDeque::new(), total: 0 }
    }

    /// Bytes that were printed, kept or not.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Takes what was printed next.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.room.0 - self.head.len();
        if room > 0 {
            let (first, rest) = bytes.split_at(room.min(bytes.len()));
            self.head.extend_from_slice(first);
            bytes = rest;
        }
        bytes = &bytes[bytes.len().saturating_sub(self.room.1)..];
        let over = (self.tail.len() + bytes.len()).saturating_sub(self.room.1);
        self.tail.drain(..over);
        self.tail.extend(bytes);
    }

    /// The text, with a mark where something was left out.
    pub(crate) fn text(&self) -> String {
        let (a, b) = self.tail.as_slices();
        let left_out = self.total - (self.head.len() + self.tail.len()) as u64;
        if left_out == 0 {
            return String::from_utf8_lossy(&[&self.head, a, b].concat()).into_owned();
        }
        let (head, tail) = (String::from_utf8_lossy(&self.head), [a, b].concat());
        format!("{head}\n[… {left_out} bytes left out …]\n{}", String::from_utf8_lossy(&tail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_are_kept() {
        let mut output = Output::new(8);
        for chunk in ["ab", "cdef", "g", "hijklmnop", "q"] {
            output.push(chunk.as_bytes());
        }
        assert_eq!(output.text(), "abcd\n[… 9 bytes left out …]\nnopq");
        let mut short = Output::new(8);
        short.push(b"abcdefgh");
        assert_eq!(short.text(), "abcdefgh");
        let mut end = Output::end_of(3);
        end.push(b"abcdefgh");
        assert_eq!((end.text().as_str(), end.total()), ("\n[… 5 bytes left out …]\nfgh", 8));
    }
}
