//! The native stack that a render needs.
//!
//! The evaluator recurses with the template: `include` in a parenthesis in an `if` in an `include`. [`levels`] limits
//! the depth. The stack is large enough for this number of levels even in a debug build, so no chart can overflow it.
//! Only touched pages cost memory: a usual render touches less than one MiB.

use gostd::limits::Limits;

/// Levels of nesting (control structures, parentheses, template calls) that one template call may use on average at the
/// maximum depth of calls.
const LEVELS_PER_CALL: usize = 16;

/// More than the stack of one level: at most 5.6 KiB in a debug build (a `tpl` in a `tpl`), and less when optimised.
const LEVEL_BYTES: usize = if cfg!(debug_assertions) { 12 << 10 } else { 6 << 10 };

/// The stack for one level of a value while it is printed, copied, compared or written as YAML.
const VALUE_LEVEL_BYTES: usize = 16 << 10;

/// The maximum level of the evaluator.
pub(crate) fn levels(limits: &Limits) -> usize {
    limits.include_depth.saturating_mul(LEVELS_PER_CALL).saturating_add(limits.syntax_depth)
}

/// Runs `work`, a whole render, on a thread whose stack is large enough for `limits`. Values are created and dropped on
/// that thread; they do not cross threads.
///
/// # Errors
/// The system cannot create the thread or allocate its stack.
pub(crate) fn with_stack<T: Send>(
    limits: &Limits,
    work: impl FnOnce() -> T + Send,
) -> Result<T, std::io::Error> {
    // The innermost `tpl` can parse a template of the maximum depth.
    let evaluator = levels(limits).saturating_add(limits.syntax_depth).saturating_mul(LEVEL_BYTES);
    let values = limits.value_depth.saturating_mul(VALUE_LEVEL_BYTES);
    let size = evaluator.saturating_add(values).saturating_add(4 << 20);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("helm".to_owned()).stack_size(size);
        let handle = thread.spawn_scoped(scope, work)?;
        Ok(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
