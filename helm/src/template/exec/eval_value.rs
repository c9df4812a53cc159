//! The values of the evaluator: Go's `reflect.Value`, as far as templates can observe it.

use gostd::value::{Element, Value};

/// A value during the evaluation of a template.
///
/// Go distinguishes a value from an interface that holds it. A field such as `$x.a.b` is looked up in an interface,
/// which error texts call `interface {}`, and which may be nil. The result of a pipeline is always a plain value, or
/// nothing.
#[derive(Clone)]
pub(crate) enum EvalValue {
    /// No value at all: Go's invalid `reflect.Value`. A field of it is again nothing, without an error.
    Nothing,
    /// A value of its own type; never [`Value::Nil`].
    Plain(Value),
    /// A value in an interface, or [`Value::Nil`] for a nil interface. A field of a nil interface is an error.
    Boxed(Value),
}

impl EvalValue {
    /// The result of a function.
    pub(super) fn result(value: Value) -> Self {
        if matches!(value, Value::Nil) { Self::Boxed(value) } else { Self::Plain(value) }
    }

    /// An element of a slice or map with this element type.
    pub(super) fn element(value: Value, element: Element) -> Self {
        if matches!(element, Element::Any | Element::Values) {
            Self::Boxed(value)
        } else {
            Self::result(value)
        }
    }

    /// Data that the caller passes as `any`.
    pub(in crate::template) fn data(value: Value) -> Self {
        Self::Boxed(value).unboxed()
    }

    /// The value inside the interface, if this is an interface.
    pub(super) fn unboxed(self) -> Self {
        match self {
            Self::Boxed(Value::Nil) => Self::Nothing,
            Self::Boxed(value) => Self::Plain(value),
            other => other,
        }
    }

    /// Converts to an argument of type `any`, in which both nils are the same.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Nothing => Value::Nil,
            Self::Plain(value) | Self::Boxed(value) => value,
        }
    }

    /// Whether `if` treats it as true.
    pub(super) fn truth(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Plain(value) | Self::Boxed(value) => value.truth(),
        }
    }
}

/// The last argument of a command in a pipeline: the result of the previous command.
pub(super) enum Last {
    /// The command is the first one.
    Missing,
    /// The result of the previous command.
    Is(EvalValue),
}

impl Last {
    /// The number of arguments, 0 or 1.
    pub(super) fn count(&self) -> usize {
        usize::from(matches!(self, Self::Is(_)))
    }
}
