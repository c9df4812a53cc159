//! The native stack that a render needs.
//!
//! The evaluator recurses with the template: `include` in a parenthesis in an `if` in an `include`. How deep it
//! may go is bounded by [`levels`]; the stack here is big enough for as many levels even in a debug build, so
//! that no chart can overflow it. Only pages that are touched cost memory: a usual render touches less than one
//! MiB.

use gostd::limits::Limits;

/// Levels of nesting (control structures, parentheses, template calls) that one template call may use on
/// average when calls are as deep as they may be.
const LEVELS_PER_CALL: usize = 16;

/// More than one level takes: 5.6 KiB at most in a debug build (a `tpl` in a `tpl`), and less when optimised.
const LEVEL_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 6 << 10 };

/// For what one value may recurse while it is printed, copied, compared or written as YAML.
const VALUE_LEVEL_BYTES: usize = 16 << 10;

/// How many levels the evaluator may be deep.
pub(crate) fn levels(limits: &Limits) -> usize {
    limits.include_depth.saturating_mul(LEVELS_PER_CALL).saturating_add(limits.syntax_depth)
}

/// Runs `work`, a whole render, on a thread whose stack is big enough for `limits`. Values are made and dropped
/// inside: they do not cross threads.
///
/// # Errors
/// The system gives no thread or no memory for its stack.
pub(crate) fn with_stack<T: Send>(
    limits: &Limits,
    work: impl FnOnce() -> T + Send,
) -> Result<T, std::io::Error> {
    // The deepest `tpl` may parse what is as deep as it may be.
    let evaluator = levels(limits).saturating_add(limits.syntax_depth).saturating_mul(LEVEL_BYTES);
    let values = limits.value_depth.saturating_mul(VALUE_LEVEL_BYTES);
    let size = evaluator.saturating_add(values).saturating_add(4 << 20);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("helm".to_owned()).stack_size(size);
        let handle = thread.spawn_scoped(scope, work)?;
        Ok(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
