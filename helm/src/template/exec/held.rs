//! What the evaluator holds: Go's `reflect.Value`, as far as templates can tell.

use gostd::value::{Element, Value};

/// A value on its way through a template.
///
/// Go tells a value from an interface that holds it: a field of `$x.a.b` is looked up in the latter, which error
/// texts call `interface {}`, and which may be nil. The result of a pipeline is always the former, or nothing.
#[derive(Clone)]
pub(crate) enum Held {
    /// No value at all: Go's invalid `reflect.Value`. A field of it is again nothing, and no error.
    Nothing,
    /// A value by its own type; never [`Value::Nil`].
    Plain(Value),
    /// What an interface holds, [`Value::Nil`] for nothing. A field of a nil one is an error.
    Boxed(Value),
}

impl Held {
    /// What a function returned.
    pub(super) fn result(value: Value) -> Self {
        if matches!(value, Value::Nil) { Self::Boxed(value) } else { Self::Plain(value) }
    }

    /// What was an element of a slice or map of `element`.
    pub(super) fn element(value: Value, element: Element) -> Self {
        if matches!(element, Element::Any | Element::Values) {
            Self::Boxed(value)
        } else {
            Self::result(value)
        }
    }

    /// Data that a caller passes as an `any`.
    pub(in crate::template) fn data(value: Value) -> Self {
        Self::Boxed(value).unboxed()
    }

    /// What is inside the interface, if this is one.
    pub(super) fn unboxed(self) -> Self {
        match self {
            Self::Boxed(Value::Nil) => Self::Nothing,
            Self::Boxed(value) => Self::Plain(value),
            other => other,
        }
    }

    /// As an argument of type `any`: both nils are the same there.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Nothing => Value::Nil,
            Self::Plain(value) | Self::Boxed(value) => value,
        }
    }

    /// Whether `if` takes it.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Plain(value) | Self::Boxed(value) => value.truth(),
        }
    }
}

/// What the pipeline hands to its next command as the last argument.
pub(super) enum Last {
    /// This is the first command.
    Missing,
    /// The result of the command before.
    Is(Held),
}

impl Last {
    /// How many arguments that is.
    pub(super) fn count(&self) -> usize {
        usize::from(matches!(self, Self::Is(_)))
    }
}
