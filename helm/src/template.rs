//! Go's text/template as Helm runs it.

pub(crate) mod ast;
mod error;
mod exec;
pub(crate) mod lexer;
pub(crate) mod parser;
pub(crate) mod print;
mod set;
pub(crate) mod stack;
pub(crate) mod token;

pub(crate) use error::RenderError;
#[cfg(test)]
pub(crate) use error::syntax;
pub(crate) use exec::zero;
pub use set::Mode;
pub(crate) use set::Set;
