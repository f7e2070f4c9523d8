//! Reading lines of files of any size with a bounded buffer.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes of a line that are kept; what is beyond is passed over.
const KEPT: usize = 64 << 10;
/// Bytes looked at to tell text from binary.
const PROBE: usize = 8 << 10;

/// Lines of a file, one at a time.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    /// Bytes read so far.
    pub(crate) read: u64,
}

impl<R: Read> Lines<R> {
    /// Lines of `reader`.
    pub(crate) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(PROBE * 8, reader), line: Vec::new(), read: 0 }
    }

    /// Does the file begin like a binary one?
    pub(crate) fn is_binary(&mut self) -> io::Result<bool> {
        let start = self.reader.fill_buf()?;
        Ok(start[..start.len().min(PROBE)].contains(&0))
    }

    /// The next line without its end, at most [`KEPT`] bytes of it, and its real length.
    pub(crate) fn next(&mut self) -> io::Result<Option<(&[u8], usize)>> {
        self.line.clear();
        let mut length = 0;
        let mut some = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            some = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = KEPT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            length += part.len();
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.reader.consume(used);
            self.read += used as u64;
            if end.is_some() {
                break;
            }
        }
        if length == self.line.len() && self.line.last() == Some(&b'\r') {
            self.line.pop();
            length -= 1;
        }
        Ok(some.then_some((self.line.as_slice(), length)))
    }
}

/// A line as text: at most `most` bytes from `start` on, with a mark for what was left out.
pub(crate) fn shown(line: &[u8], length: usize, start: usize, most: usize) -> String {
    let end = line.len().min(start + most);
    let text = String::from_utf8_lossy(&line[start.min(end)..end]);
    let before = if start > 0 { "…" } else { "" };
    if length > end { format!("{before}{text}… [{} bytes more]", length - end) } else { format!("{before}{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends_to_themselves() {
        let mut lines = Lines::new(&b"one\r\n\ntwo"[..]);
        assert_eq!(lines.next().expect("read"), Some((&b"one"[..], 3)));
        assert_eq!(lines.next().expect("read"), Some((&b""[..], 0)));
        assert_eq!(lines.next().expect("read"), Some((&b"two"[..], 3)));
        assert_eq!(lines.next().expect("read"), None);
        assert_eq!(lines.read, 9);
    }

    #[test]
    fn an_endless_line_takes_little_memory() {
        let mut lines = Lines::new(io::repeat(b'x').take(10 << 20));
        let (line, length) = lines.next().expect("read").expect("a line");
        assert_eq!((line.len(), length), (KEPT, 10 << 20));
        assert_eq!(shown(b"abcdef", 6, 2, 2), "…cd… [2 bytes more]");
    }
}
