//! The language of Traefik's rules (v3; docs, "Rules"): matchers with quoted arguments, `&&`, `||`, `!` and parentheses.
//!
//! Read by precedence without recursion: operators wait on a stack until what they combine is there. The result is a
//! program in reverse Polish notation. `&&` binds more than `||`, as in Go, whose parser Traefik uses.

/// The longest rule, in bytes.
const MAX_RULE: usize = 64 << 10;
/// The most matchers and operators of a rule.
const MAX_TOKENS: usize = crate::attribute::routes::condition::MAX_STEPS;
/// The deepest nesting of parentheses and negations.
const MAX_DEPTH: usize = 64;

/// A step of a rule, after those that it combines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A matcher with its arguments.
    Matcher {
        name: String,
        arguments: Vec<String>,
    },
    And,
    Or,
    Not,
}

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Longer than 64 KiB.
    #[error("the rule is too long")]
    TooLong,
    /// More than 512 matchers and operators, or nested deeper than 64.
    #[error("the rule has too many parts")]
    TooManyParts,
    /// A character that cannot stand where it does.
    #[error("the rule is not understood at byte {at}")]
    Unexpected {
        /// Where, from 0.
        at: usize,
    },
    /// Something is missing at its end.
    #[error("the rule ends too early")]
    Unfinished,
}

/// What waits for its right side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Open,
    And,
    Or,
    Not,
}

/// Reads a rule.
///
/// # Errors
/// Why it is none.
pub(super) fn parse(text: &str) -> Result<Vec<Token>, RuleError> {
    if text.len() > MAX_RULE {
        return Err(RuleError::TooLong);
    }
    let mut reader = Reader { text, at: 0 };
    let mut output = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    // Whether something to be combined is wanted next, or an operator.
    let mut wants_operand = true;
    while let Some(next) = reader.next_character() {
        if output.len() + waiting.len() > MAX_TOKENS || waiting.len() > MAX_DEPTH {
            return Err(RuleError::TooManyParts);
        }
        match next {
            '!' if wants_operand => {
                reader.at += 1;
                waiting.push(Waiting::Not);
            }
            '(' if wants_operand => {
                reader.at += 1;
                waiting.push(Waiting::Open);
            }
            _ if wants_operand => {
                output.push(reader.matcher()?);
                wants_operand = false;
                bound(&mut waiting, &mut output, Waiting::Not);
            }
            ')' => {
                bound(&mut waiting, &mut output, Waiting::Or);
                if waiting.pop() != Some(Waiting::Open) {
                    return Err(RuleError::Unexpected { at: reader.at });
                }
                reader.at += 1;
                bound(&mut waiting, &mut output, Waiting::Not);
            }
            '&' | '|' => {
                let operator = if next == '&' { Waiting::And } else { Waiting::Or };
                reader.expect(if next == '&' { "&&" } else { "||" })?;
                bound(&mut waiting, &mut output, operator);
                waiting.push(operator);
                wants_operand = true;
            }
            _ => return Err(RuleError::Unexpected { at: reader.at }),
        }
    }
    if wants_operand {
        return Err(RuleError::Unfinished);
    }
    bound(&mut waiting, &mut output, Waiting::Or);
    if waiting.is_empty() { Ok(output) } else { Err(RuleError::Unfinished) }
}

/// Writes the operators that wait and bind at least as much as this one.
fn bound(waiting: &mut Vec<Waiting>, output: &mut Vec<Token>, least: Waiting) {
    let strength = |operator: Waiting| match operator {
        Waiting::Open => 0,
        Waiting::Or => 1,
        Waiting::And => 2,
        Waiting::Not => 3,
    };
    while let Some(operator) = waiting.last().copied().filter(|last| strength(*last) >= strength(least)) {
        waiting.pop();
        output.push(match operator {
            Waiting::Or | Waiting::Open => Token::Or,
            Waiting::And => Token::And,
            Waiting::Not => Token::Not,
        });
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that is no white space; none at the end.
    fn next_character(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn expect(&mut self, wanted: &str) -> Result<(), RuleError> {
        if self.rest().starts_with(wanted) {
            self.at += wanted.len();
            return Ok(());
        }
        Err(if self.rest().len() < wanted.len() {
            RuleError::Unfinished
        } else {
            RuleError::Unexpected { at: self.at }
        })
    }

    fn matcher(&mut self) -> Result<Token, RuleError> {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if length == 0 {
            return Err(RuleError::Unexpected { at: self.at });
        }
        let name = rest.get(..length).unwrap_or_default().to_owned();
        self.at += length;
        self.next_character();
        self.expect("(")?;
        let mut arguments = Vec::new();
        loop {
            match self.next_character().ok_or(RuleError::Unfinished)? {
                ')' if arguments.is_empty() => break,
                '`' | '"' => arguments.push(self.quoted()?),
                _ => return Err(RuleError::Unexpected { at: self.at }),
            }
            match self.next_character().ok_or(RuleError::Unfinished)? {
                ',' if arguments.len() < MAX_TOKENS => self.at += 1,
                ')' => break,
                _ => return Err(RuleError::Unexpected { at: self.at }),
            }
        }
        self.at += 1;
        Ok(Token::Matcher { name, arguments })
    }

    /// A string of Go: raw between backquotes, with escapes between quotation marks.
    fn quoted(&mut self) -> Result<String, RuleError> {
        let rest = self.rest();
        let mut characters = rest.char_indices();
        let quote = characters.next().map_or('`', |(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                _ if character == quote => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' if quote == '"' => match characters.next() {
                    Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((at, _)) => return Err(RuleError::Unexpected { at: self.at + at }),
                    None => return Err(RuleError::Unfinished),
                },
                '\n' if quote == '"' => return Err(RuleError::Unexpected { at: self.at + at }),
                other => text.push(other),
            }
        }
        Err(RuleError::Unfinished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As words: the program, each matcher by its name and arguments.
    #[track_caller]
    fn check(text: &str, expected: Result<&str, RuleError>) {
        let words = |tokens: Vec<Token>| {
            let words = tokens.into_iter().map(|token| match token {
                Token::Matcher { name, arguments } => format!("{name}({})", arguments.join(",")),
                Token::And => "&&".to_owned(),
                Token::Or => "||".to_owned(),
                Token::Not => "!".to_owned(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(parse(text).map(words), expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn rules_become_programs() {
        check("Host(`a.b`)", Ok("Host(a.b)"));
        check(" Host ( \"a.b\" ) ", Ok("Host(a.b)"));
        check("Header(`a`, `b`)", Ok("Header(a,b)"));
        check("A(`1`) && B(`2`) || C(`3`)", Ok("A(1) B(2) && C(3) ||"));
        check("A(`1`) || B(`2`) && C(`3`)", Ok("A(1) B(2) C(3) && ||"));
        check("(A(`1`) || B(`2`)) && C(`3`)", Ok("A(1) B(2) || C(3) &&"));
        check("!A(`1`) && B(`2`)", Ok("A(1) ! B(2) &&"));
        check("!(A(`1`) && B(`2`))", Ok("A(1) B(2) && !"));
        check("!!A(`1`)", Ok("A(1) ! !"));
        check("A(`\\d`)&&B(\"\\\\d\\\"\")", Ok("A(\\d) B(\\d\") &&"));
        check("A()", Ok("A()"));
    }

    #[test]
    fn what_is_no_rule() {
        check("", Err(RuleError::Unfinished));
        check("A(`1`) &&", Err(RuleError::Unfinished));
        check("A(`1`) & B(`2`)", Err(RuleError::Unexpected { at: 7 }));
        check("A(`1`) B(`2`)", Err(RuleError::Unexpected { at: 7 }));
        check("A(`1`", Err(RuleError::Unfinished));
        check("A(`1)", Err(RuleError::Unfinished));
        check("(A(`1`)", Err(RuleError::Unfinished));
        check("A(`1`))", Err(RuleError::Unexpected { at: 6 }));
        check("A(1)", Err(RuleError::Unexpected { at: 2 }));
        check("&& A(`1`)", Err(RuleError::Unexpected { at: 0 }));
        check(&"(".repeat(100_000), Err(RuleError::TooLong));
        check(&"!".repeat(10_000), Err(RuleError::TooManyParts));
        check(&format!("A(`1`){}", " || A(`1`)".repeat(5_000)), Err(RuleError::TooManyParts));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_rule_or_an_error(text in "[A-B(`1`)!&|, \"\\\\]{0,60}") {
            if let Ok(tokens) = parse(&text) {
                // Every operator has what it combines, and one answer is left.
                let mut depth = 0_usize;
                for token in &tokens {
                    match token {
                        Token::Matcher { .. } => depth += 1,
                        Token::And | Token::Or => depth = depth.saturating_sub(1),
                        Token::Not => {}
                    }
                    assert!(depth > 0);
                }
                assert_eq!(depth, 1);
            }
        }
    }
}
