//! What a rule asks of a request beside its host and path.
//!
//! The answer has three values: what cannot be told for sure (a field that is not known, a pattern of another engine) is
//! neither yes nor no, and a decision that depends on it is uncertain, not guessed. An expression is a short program over a
//! stack of answers, so that no input makes it recurse.

use std::borrow::Cow;
use std::sync::Arc;

use super::pattern::Pattern;
use super::request::Request;
use crate::config::Network;

/// The most steps of one expression.
pub(super) const MAX_STEPS: usize = 512;
/// The most values of one field or parameter that are compared.
const MAX_VALUES: usize = 64;

/// Why it cannot be told whether a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertainty {
    /// A field that it asks for is not known: a part of the head was not read.
    UnknownField,
    /// A field or parameter occurs several times, and controllers differ in what they compare.
    Repeated,
    /// A regular expression that this program's engine does not take, or takes otherwise than the controller's.
    Pattern,
    /// The rule asks for something that is not understood here.
    Unsupported,
    /// The address of the client, as the controller sees it, is not known.
    Client,
    /// Whether it came over TLS, at which port, or under which server name is not known.
    Listener,
    /// Several listeners could have taken it, and they lead to different rules.
    Listeners,
    /// The path was not sent in its normal form, and controllers differ in what they make of it.
    PathForm,
    /// More rules, or values, than are looked at.
    TooMany,
    /// Whether a listener takes routes of a namespace depends on labels that are not known.
    Namespace,
    /// Which of two rules comes first is up to the controller.
    Precedence,
}

impl Uncertainty {
    /// A word for events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownField => "unknown_field",
            Self::Repeated => "repeated_field",
            Self::Pattern => "pattern",
            Self::Unsupported => "unsupported_match",
            Self::Client => "unknown_client",
            Self::Listener => "unknown_listener",
            Self::Listeners => "several_listeners",
            Self::PathForm => "path_not_normal",
            Self::TooMany => "too_many_rules",
            Self::Namespace => "unknown_namespace",
            Self::Precedence => "precedence",
        }
    }
}

/// Whether a request is what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    Unclear(Uncertainty),
}

impl From<bool> for Answer {
    fn from(is_true: bool) -> Self {
        if is_true { Self::Yes } else { Self::No }
    }
}

impl Answer {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unclear(why), _) | (_, Self::Unclear(why)) => Self::Unclear(why),
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unclear(why), _) | (_, Self::Unclear(why)) => Self::Unclear(why),
            (Self::No, Self::No) => Self::No,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unclear(why) => Self::Unclear(why),
        }
    }
}

/// What a request must be. The program leaves answers on its stack, all of which must be yes.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    steps: Option<Arc<[Step]>>,
}

/// A step of the program.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Asks, and puts the answer on the stack.
    Ask(Condition),
    /// Puts `and` of the two topmost in their place.
    And,
    /// Puts `or` of the two topmost in their place.
    Or,
    /// Puts the opposite of the topmost in its place.
    Not,
}

/// One thing that is asked.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// The method is this.
    Method(Box<str>),
    /// The host is this name, in lower case.
    Host(Box<str>),
    /// The host is one label before this name.
    HostBelow(Box<str>),
    /// The host is like this.
    HostPattern(Pattern),
    /// The path is this.
    Path(Box<[u8]>),
    /// The path starts with these characters.
    PathPrefix(Box<[u8]>),
    /// The path is like this.
    PathPattern(Pattern),
    /// A value of the field passes.
    Field { name: Box<str>, test: Test, several: Several },
    /// There is such a field, or none.
    FieldIs { name: Box<str>, present: bool },
    /// A value of the parameter passes.
    Parameter { name: Box<[u8]>, test: Test, several: Several },
    /// There is a cookie of this name and value.
    Cookie { name: Box<[u8]>, value: Box<[u8]> },
    /// The call's `content-type` is gRPC's.
    Grpc,
    /// It came over TLS, or not.
    Tls(bool),
    /// The client's address lies in one of these networks.
    Client(Box<[Network]>),
    /// Cannot be told.
    Unclear(Uncertainty),
}

/// How a value is compared.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Is(Box<[u8]>),
    /// The same without regard to the case of letters.
    IsAnyCase(Box<[u8]>),
    Starts {
        with: Box<[u8]>,
        any_case: bool,
    },
    Ends {
        with: Box<[u8]>,
        any_case: bool,
    },
    Holds {
        what: Box<[u8]>,
        any_case: bool,
    },
    Like(Pattern),
    /// Any value.
    Any,
}

/// Which of several values of one name is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Several {
    /// One of them must pass.
    Each,
    /// Controllers differ: it must be the same for the first, for any, and for all joined by commas.
    Unclear,
}

impl Conditions {
    /// All of these.
    pub(super) fn all(asked: Vec<Condition>) -> Self {
        Self::program(asked.into_iter().map(Step::Ask).collect())
    }

    /// These, and one more thing.
    pub(super) fn and(&self, condition: Condition) -> Self {
        let mut steps = vec![Step::Ask(condition)];
        steps.extend(self.steps.iter().flat_map(|steps| steps.iter()).cloned());
        Self::program(steps)
    }

    /// Of this program.
    pub(super) fn program(steps: Vec<Step>) -> Self {
        Self { steps: (!steps.is_empty()).then(|| steps.into()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_none()
    }

    /// Whether the request is what they ask for. `path` is in the form in which it is compared.
    pub(super) fn ask(&self, request: &Request<'_>, host: &str, path: &[u8]) -> Answer {
        let Some(steps) = &self.steps else { return Answer::Yes };
        let mut stack = Stack::default();
        for step in steps.iter() {
            match step {
                Step::Ask(condition) => stack.push(condition.ask(request, host, path)),
                Step::And => stack.both(Answer::and),
                Step::Or => stack.both(Answer::or),
                Step::Not => {
                    let top = stack.pop();
                    stack.push(top.not());
                }
            }
        }
        stack.all()
    }
}

/// Answers. Most programs ask a few things and combine nothing; the stack allocates past eight.
#[derive(Default)]
struct Stack {
    few: [Option<Answer>; 8],
    count: usize,
    more: Vec<Answer>,
}

impl Stack {
    fn push(&mut self, answer: Answer) {
        match self.few.get_mut(self.count) {
            Some(slot) => {
                *slot = Some(answer);
                self.count += 1;
            }
            None => self.more.push(answer),
        }
    }

    /// The builders of programs see to it that there is one.
    fn pop(&mut self) -> Answer {
        if let Some(answer) = self.more.pop() {
            return answer;
        }
        self.count = self.count.saturating_sub(1);
        self.few
            .get_mut(self.count)
            .and_then(Option::take)
            .unwrap_or(Answer::Unclear(Uncertainty::Unsupported))
    }

    fn both(&mut self, combine: impl Fn(Answer, Answer) -> Answer) {
        let (right, left) = (self.pop(), self.pop());
        self.push(combine(left, right));
    }

    fn all(&self) -> Answer {
        let few = self.few.iter().take(self.count).flatten();
        few.chain(&self.more).fold(Answer::Yes, |all, answer| all.and(*answer))
    }
}

impl Condition {
    fn ask(&self, request: &Request<'_>, host: &str, path: &[u8]) -> Answer {
        match self {
            Self::Method(method) => (request.method == method.as_bytes()).into(),
            Self::Host(name) => (**name == *host).into(),
            Self::HostBelow(name) => host.split_once('.').is_some_and(|(_, parent)| *parent == **name).into(),
            Self::HostPattern(pattern) => pattern.ask(host.as_bytes()),
            Self::Path(wanted) => (**wanted == *path).into(),
            Self::PathPrefix(prefix) => path.starts_with(prefix).into(),
            Self::PathPattern(pattern) => pattern.ask(path),
            Self::Field { name, test, several } => field(request, name, test, *several),
            Self::FieldIs { name, present } => {
                let mut is_there = false;
                let is_whole = request.fields.each(name, &mut |_| is_there = true);
                match (is_there, is_whole) {
                    (false, false) => Answer::Unclear(Uncertainty::UnknownField),
                    _ => (is_there == *present).into(),
                }
            }
            Self::Parameter { name, test, several } => parameter(request.query, name, test, *several),
            Self::Cookie { name, value } => cookie(request, name, value),
            Self::Grpc => grpc(request),
            Self::Tls(wanted) => match request.listener.tls {
                Some(tls) => (tls == *wanted).into(),
                None => Answer::Unclear(Uncertainty::Listener),
            },
            Self::Client(networks) => match request.client.map(|client| client.to_canonical()) {
                Some(client) => networks.iter().any(|network| network.contains(client)).into(),
                None => Answer::Unclear(Uncertainty::Client),
            },
            Self::Unclear(why) => Answer::Unclear(*why),
        }
    }
}

/// Several lines of a field are one value with commas (RFC 9110, 5.3), or each its own, or only the first one counts:
/// controllers differ.
fn field(request: &Request<'_>, name: &str, test: &Test, several: Several) -> Answer {
    let mut values = Values::default();
    let is_whole = request.fields.each(name, &mut |value| values.push(value, test));
    match values.judge(test, several) {
        Answer::Yes if several == Several::Each || is_whole => Answer::Yes,
        answer @ Answer::Unclear(_) => answer,
        _ if !is_whole => Answer::Unclear(Uncertainty::UnknownField),
        answer => answer,
    }
}

/// Values that were compared one by one, and joined.
#[derive(Default)]
struct Values {
    count: usize,
    first: Option<Answer>,
    any: Option<Answer>,
    joined: Vec<u8>,
}

impl Values {
    fn push(&mut self, value: Cow<'_, [u8]>, test: &Test) {
        self.count += 1;
        if self.count > MAX_VALUES {
            return;
        }
        let answer = test.passes(&value);
        self.first.get_or_insert(answer);
        self.any = Some(self.any.map_or(answer, |any| any.or(answer)));
        if self.count > 1 {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(&value);
    }

    fn judge(&self, test: &Test, several: Several) -> Answer {
        let (Some(first), Some(any)) = (self.first, self.any) else { return Answer::No };
        if self.count == 1 {
            return first;
        }
        if self.count > MAX_VALUES {
            return Answer::Unclear(Uncertainty::TooMany);
        }
        let joined = || test.passes(&self.joined);
        match several {
            Several::Each => any,
            Several::Unclear if first == any && any == joined() => any,
            Several::Unclear => Answer::Unclear(Uncertainty::Repeated),
        }
    }
}

/// Parameters of a query are `name=value` between `&`, percent-encoded, with `+` for a space (WHATWG URL, 5.1).
fn parameter(query: Option<&[u8]>, name: &[u8], test: &Test, several: Several) -> Answer {
    let mut values = Values::default();
    for pair in query.unwrap_or_default().split(|byte| *byte == b'&') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if super::path::decode_form(key) == name {
            values.push(super::path::decode_form(value), test);
        }
    }
    values.judge(test, several)
}

/// Cookies are `name=value` between `;` (RFC 6265, 4.2.1).
fn cookie(request: &Request<'_>, name: &[u8], value: &[u8]) -> Answer {
    let mut has = false;
    let is_whole = request.fields.each("cookie", &mut |line| {
        has |= line.split(|byte| *byte == b';').any(|pair| {
            let pair = pair.trim_ascii();
            pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) == Some(value)
        });
    });
    if has || is_whole { has.into() } else { Answer::Unclear(Uncertainty::UnknownField) }
}

/// gRPC is told by its content type; whether other requests reach a rule for gRPC is up to the controller.
fn grpc(request: &Request<'_>) -> Answer {
    let mut is_grpc = false;
    request.fields.each("content-type", &mut |value| is_grpc |= value.starts_with(b"application/grpc"));
    if is_grpc { Answer::Yes } else { Answer::Unclear(Uncertainty::Unsupported) }
}

impl Test {
    fn passes(&self, value: &[u8]) -> Answer {
        match self {
            Self::Is(wanted) => (**wanted == *value).into(),
            Self::IsAnyCase(wanted) => wanted.eq_ignore_ascii_case(value).into(),
            Self::Starts { with, any_case } => {
                same(value.get(..with.len()).unwrap_or_default(), with, *any_case).into()
            }
            Self::Ends { with, any_case } => {
                let start = value.len().saturating_sub(with.len());
                same(value.get(start..).unwrap_or_default(), with, *any_case).into()
            }
            Self::Holds { what, any_case: false } => memchr::memmem::find(value, what).is_some().into(),
            Self::Holds { what, any_case: true } => {
                let (value, what) = (value.to_ascii_lowercase(), what.to_ascii_lowercase());
                memchr::memmem::find(&value, &what).is_some().into()
            }
            Self::Like(pattern) => pattern.ask(value),
            Self::Any => Answer::Yes,
        }
    }
}

fn same(one: &[u8], other: &[u8], any_case: bool) -> bool {
    if any_case { one.eq_ignore_ascii_case(other) } else { one == other }
}
