//! Why a render fails, told as Helm tells it (`pkg/engine/engine.go` of Helm 4).

use crate::function::Failure;

/// Marks the text of `required` and `fail` on its way out, as Helm does.
const WARNING: [&str; 2] = ["HELM_ERR_START", "HELM_ERR_END"];

/// Why templates cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    /// A file is no template; the text is Helm's.
    #[error("{text}")]
    Syntax { text: String },
    /// A template failed; the text is Helm's.
    #[error("{text}")]
    Execution { text: String },
    /// A bound of `Limits` is met, by the name of its field, at a place in a file.
    #[error("rendering `{place}` meets the limit `{limit}`")]
    Limit { place: String, limit: &'static str },
}

/// What stops the evaluator.
pub(crate) enum Stop {
    /// A template's error.
    Fault(Box<Fault>),
    /// A bound of `Limits`, by the name of its field, and where in a file it was met.
    Limit { name: &'static str, place: Option<String> },
}

/// An error and what it wraps: Go's `%w`. Each part is what one level puts before the text of the level inside.
pub(crate) struct Fault {
    /// The innermost first.
    parts: Vec<String>,
}

/// One place that Helm names: its `TraceableError`.
#[derive(PartialEq, Eq)]
struct Place {
    location: String,
    executing: String,
    message: String,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Said(text) => Self::said(text),
            Failure::Limit(name) => Self::limit(name),
        }
    }
}

impl Stop {
    /// An error that wraps none.
    pub(crate) fn said(text: impl Into<String>) -> Self {
        Self::Fault(Box::new(Fault { parts: vec![text.into()] }))
    }

    /// A bound of `Limits`, by the name of its field.
    pub(crate) fn limit(name: &'static str) -> Self {
        Self::Limit { name, place: None }
    }

    /// The same with the place of a bound, if there is none yet: the innermost tells most.
    pub(crate) fn placed(mut self, at: impl FnOnce() -> Option<String>) -> Self {
        if let Self::Limit { place: place @ None, .. } = &mut self {
            *place = at();
        }
        self
    }

    /// The same error with `prefix` before it.
    pub(crate) fn wrapped(mut self, prefix: impl Into<String>) -> Self {
        if let Self::Fault(fault) = &mut self {
            fault.parts.push(prefix.into());
        }
        self
    }

    /// What the caller of a render gets to know.
    pub(crate) fn report(self, file: &str) -> RenderError {
        match self {
            Self::Fault(fault) => RenderError::Execution { text: fault.report() },
            Self::Limit { name, place } => {
                RenderError::Limit { place: place.unwrap_or_else(|| file.to_owned()), limit: name }
            }
        }
    }
}

/// What `required` and `fail` say.
pub(crate) fn warning(text: &str) -> String {
    let [start, end] = WARNING;
    format!("{start}{text}{end}")
}

impl Fault {
    /// The text from the level `index` inwards.
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
        let mut places: Vec<Place> = Vec::new();
        for index in (0..=outermost).rev() {
            let Some(place) = self.place(index) else { return whole };
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
        let text: String = places.iter().map(Place::text).collect();
        text.trim().to_owned()
    }

    /// `parseTemplateExecErrorString`
    fn place(&self, index: usize) -> Option<Place> {
        let own = self.parts.get(index)?;
        if !own.starts_with("template: ") {
            return None;
        }
        if own.starts_with("template: no template ") {
            return Some(Place {
                location: String::new(),
                executing: String::new(),
                message: self.text(index),
            });
        }
        // The message ends where the wrapped error begins, so that need not be read.
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
fn executing(remainder: &str) -> Option<Place> {
    let (location, after) = remainder.split_once(": executing ")?;
    let (name, after) = after.strip_prefix('"')?.split_once('"')?;
    let (context, message) = after.strip_prefix(" at <")?.split_once(">: ")?;
    Some(Place {
        location: location.to_owned(),
        executing: format!("executing \"{name}\" at <{context}>:"),
        message: until_next(message),
    })
}

/// `parseTemplateSimpleErrorString`
fn simple(remainder: &str) -> Option<Place> {
    let (location, message) = remainder.rsplit_once(": ")?;
    Some(Place { location: location.to_owned(), executing: String::new(), message: until_next(message) })
}

fn until_next(message: &str) -> String {
    message.split_once(" template:").map_or(message, |(own, _)| own).to_owned()
}

impl Place {
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

/// `cleanupParseError`: what Helm says of a file that is no template, from what Go says.
pub(crate) fn syntax(file: &str, text: &str) -> RenderError {
    let tokens: Vec<&str> = text.split(": ").collect();
    let text = match tokens.as_slice() {
        [_, location, .., last] => format!("parse error at ({location}): {last}"),
        [_, location] => format!("parse error at ({location}): {location}"),
        _ => format!("parse error in ({file}): {text}"),
    };
    RenderError::Syntax { text }
}
