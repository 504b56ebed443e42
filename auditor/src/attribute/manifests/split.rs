//! The documents of a YAML stream, without parsing it, each with the line it starts on.
//!
//! This is exact, not a heuristic: a line that starts with `---` or `...` and then ends or goes on with white space cannot
//! be content of any scalar (YAML 1.2.2, 9.1.2, c-forbidden). Documents of nothing but blank lines, comments and
//! directives are left out; directives stay with the document that they are for.

/// The documents, each with the number of lines before it.
pub(super) fn documents(text: &str) -> impl Iterator<Item = (u64, &str)> {
    Documents { text, position: 0, line: 0 }
}

struct Documents<'a> {
    text: &'a str,
    position: usize,
    line: u64,
}

impl<'a> Iterator for Documents<'a> {
    type Item = (u64, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (mut start, mut start_line) = (self.position, self.line);
        let (mut content, mut marked, mut directives) = (false, false, false);
        while let Some(rest) = self.text.get(self.position..).filter(|rest| !rest.is_empty()) {
            let length = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |end| end + 1);
            let line = rest.get(..length).unwrap_or(rest);
            let begins = marker(line, "---");
            if content && begins.is_some() {
                return self.text.get(start..self.position).map(|document| (start_line, document));
            }
            let (at, at_line) = (self.position, self.line);
            self.position += length;
            self.line += 1;
            if let Some(after) = begins {
                if marked || !directives {
                    (start, start_line) = (at, at_line);
                }
                (marked, directives, content) = (true, !marked && directives, !blank(after));
            } else if marker(line, "...").is_some() {
                if content {
                    return self.text.get(start..self.position).map(|document| (start_line, document));
                }
                (start, start_line) = (self.position, self.line);
                (marked, directives) = (false, false);
            } else if !content && !marked && line.starts_with('%') {
                directives = true;
            } else {
                content |= !blank(line);
            }
        }
        if !content {
            return None;
        }
        self.text.get(start..).map(|document| (start_line, document))
    }
}

/// What follows the marker, if the line is one.
fn marker<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.strip_prefix(marker).filter(|after| after.is_empty() || after.starts_with([' ', '\t', '\r', '\n']))
}

fn blank(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &str)]) {
        assert_eq!(documents(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_stream_is_cut_at_its_markers_only() {
        check("", &[]);
        check("# nothing\n---\n\n--- # still nothing\n...\n", &[]);
        check("a: 1", &[(0, "a: 1")]);
        check("a: 1\n---\nb: 2\n", &[(0, "a: 1\n"), (1, "---\nb: 2\n")]);
        check("---\n---\na: 1\n", &[(1, "---\na: 1\n")]);
        check("--- {a: 1}\n--- {b: 2}", &[(0, "--- {a: 1}\n"), (1, "--- {b: 2}")]);
        check("a: 1\r\n---\r\nb: 2\r\n", &[(0, "a: 1\r\n"), (1, "---\r\nb: 2\r\n")]);
        check("a: |\n  ---\n  x\n---x: 1\n", &[(0, "a: |\n  ---\n  x\n---x: 1\n")]);
        check("a: 1\n...\nb: 2\n", &[(0, "a: 1\n...\n"), (2, "b: 2\n")]);
        check("%YAML 1.2\n---\na: 1\n", &[(0, "%YAML 1.2\n---\na: 1\n")]);
        check(
            "a: 1\n...\n%YAML 1.2\n# c\n---\nb: 1\n",
            &[(0, "a: 1\n...\n"), (2, "%YAML 1.2\n# c\n---\nb: 1\n")],
        );
    }
}
