//! The errors of a render, reported as in Helm (`pkg/engine/engine.go` of Helm 4).

use crate::function::Failure;

/// Delimits the text of `required` and `fail` inside an error, as in Helm.
const WARNING: [&str; 2] = ["HELM_ERR_START", "HELM_ERR_END"];

/// The reason why templates cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    /// A file is not a valid template; the text is Helm's.
    #[error("{text}")]
    Syntax { text: String },
    /// A template failed; the text is Helm's.
    #[error("{text}")]
    Execution { text: String },
    /// A limit was exceeded: the name of a field of `Limits`, and the location in a file.
    #[error("rendering `{location}` exceeds the limit `{limit}`")]
    Limit { location: String, limit: &'static str },
}

/// The reason why the evaluator stops.
pub(crate) enum Stop {
    /// An error in a template.
    Error(Box<ExecError>),
    /// A limit was exceeded: the name of a field of `Limits`, and the location in a file.
    Limit { name: &'static str, location: Option<String> },
}

/// An error that wraps others, as with Go's `%w`. Each part is the prefix that one level adds to the text of the inner
/// level.
pub(crate) struct ExecError {
    /// The parts, innermost first.
    parts: Vec<String>,
}

/// One entry of the trace that Helm reports: its `TraceableError`.
#[derive(PartialEq, Eq)]
struct TraceEntry {
    location: String,
    executing: String,
    message: String,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Message(text) => Self::error(text),
            Failure::Limit(name) => Self::limit(name),
        }
    }
}

impl Stop {
    /// An error that wraps no other.
    pub(crate) fn error(text: impl Into<String>) -> Self {
        Self::Error(Box::new(ExecError { parts: vec![text.into()] }))
    }

    /// A limit was exceeded: the name of a field of `Limits`.
    pub(crate) fn limit(name: &'static str) -> Self {
        Self::Limit { name, location: None }
    }

    /// Adds the location of an exceeded limit if it has none yet: the innermost location is the most precise one.
    pub(crate) fn located(mut self, at: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Limit { location: location @ None, .. } = &mut self {
            *location = at();
        }
        self
    }

    /// Wraps the error with a prefix.
    pub(crate) fn wrapped(mut self, prefix: impl Into<String>) -> Self {
        if let Self::Error(error) = &mut self {
            error.parts.push(prefix.into());
        }
        self
    }

    /// The error for the caller of the render.
    pub(crate) fn report(self, file: &str) -> RenderError {
        match self {
            Self::Error(error) => RenderError::Execution { text: error.report() },
            Self::Limit { name, location } => {
                RenderError::Limit { location: location.unwrap_or_else(|| file.to_owned()), limit: name }
            }
        }
    }
}

/// The error text of `required` and `fail`.
pub(crate) fn warning(text: &str) -> String {
    let [start, end] = WARNING;
    format!("{start}{text}{end}")
}

impl ExecError {
    /// The text of the level `index` and of all inner levels.
    fn text(&self, index: usize) -> String {
        self.parts.get(..=index).unwrap_or(&self.parts).iter().rev().map(String::as_str).collect()
    }

    /// `reformatExecErrorMsg`
    fn report(&self) -> String {
        let outermost = self.parts.len().saturating_sub(1);
        let whole = self.text(outermost);
        let mut tokens = whole.splitn(3, ": ");
        let (Some("template"), Some(location), Some(rest)) = (tokens.next(), tokens.next(), tokens.next())
        else {
            return whole;
        };
        let [start, end] = WARNING;
        if let Some(from) = rest.find(start)
            && let Some(to) = rest.rfind(end).filter(|to| *to >= from + start.len())
        {
            let text = rest.get(from + start.len()..to).unwrap_or_default();
            return format!("execution error at ({location}): {text}");
        }
        let mut entries: Vec<TraceEntry> = Vec::new();
        for index in (0..=outermost).rev() {
            let Some(entry) = self.entry(index) else { return whole };
            if entries.last() != Some(&entry) {
                entries.push(entry);
            }
        }
        let text: String = entries.iter().map(TraceEntry::text).collect();
        text.trim().to_owned()
    }

    /// `parseTemplateExecErrorString`
    fn entry(&self, index: usize) -> Option<TraceEntry> {
        let own = self.parts.get(index)?;
        if !own.starts_with("template: ") {
            return None;
        }
        if own.starts_with("template: no template ") {
            return Some(TraceEntry {
                location: String::new(),
                executing: String::new(),
                message: self.text(index),
            });
        }
        // The message ends where the wrapped error begins, so the wrapped error does not have to be parsed.
        let wraps = index.checked_sub(1).and_then(|inner| self.parts.get(inner));
        let text = match wraps {
            Some(inner) if inner.starts_with("template: ") => format!("{own}template: "),
            _ => self.text(index),
        };
        let remainder = text.strip_prefix("template: ")?;
        executing(remainder).or_else(|| simple(remainder))
    }
}

/// `parseTemplateExecutingAtErrorType`
fn executing(remainder: &str) -> Option<TraceEntry> {
    let (location, after) = remainder.split_once(": executing ")?;
    let (name, after) = after.strip_prefix('"')?.split_once('"')?;
    let (context, message) = after.strip_prefix(" at <")?.split_once(">: ")?;
    Some(TraceEntry {
        location: location.to_owned(),
        executing: format!("executing \"{name}\" at <{context}>:"),
        message: until_next(message),
    })
}

/// `parseTemplateSimpleErrorString`
fn simple(remainder: &str) -> Option<TraceEntry> {
    let (location, message) = remainder.rsplit_once(": ")?;
    Some(TraceEntry { location: location.to_owned(), executing: String::new(), message: until_next(message) })
}

fn until_next(message: &str) -> String {
    message.split_once(" template:").map_or(message, |(own, _)| own).to_owned()
}

impl TraceEntry {
    fn text(&self) -> String {
        let mut out = String::new();
        for (part, after) in [(&self.location, "\n  "), (&self.executing, "\n    "), (&self.message, "\n")] {
            if !part.is_empty() {
                out.push_str(part);
                out.push_str(after);
            }
        }
        out
    }
}

/// `cleanupParseError`: converts Go's error for an invalid template into Helm's.
pub(crate) fn syntax(file: &str, text: &str) -> RenderError {
    let tokens: Vec<&str> = text.split(": ").collect();
    let text = match tokens.as_slice() {
        [_, location, .., last] => format!("parse error at ({location}): {last}"),
        [_, location] => format!("parse error at ({location}): {location}"),
        _ => format!("parse error in ({file}): {text}"),
    };
    RenderError::Syntax { text }
}
