//! Texts for people that stay short: of an error with what it came from, of many things, of a long text.
//!
//! An answer of the API server is shortened to its message here, for all crates that ask a cluster, and classified.

use error_class::Class;

/// The first of many, and how many more there are.
#[must_use]
pub fn few(all: impl ExactSizeIterator<Item = String>, most: usize, between: &str) -> String {
    let more = all.len().saturating_sub(most);
    let mut words: Vec<_> = all.take(most).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(between)
}

/// The beginning of a text, of at most so many bytes.
#[must_use]
pub fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// An error and what it came from, in one line.
#[must_use]
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes = causes(error).into_iter();
    let mut words = causes.next().unwrap_or_default();
    for more in causes {
        // Some errors tell their source themselves.
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
    }
    words
}

/// An error and what it came from, each in its words. Of an API server's answer these are its message, not all of its
/// fields.
#[must_use]
pub fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(answer) = answer(error) {
            causes.push(answer);
            break;
        }
        causes.push(error.to_string());
        next = error.source();
    }
    causes
}

/// What an API server answered.
fn answer(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let boxed = || error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref);
    match error.downcast_ref::<kube::Error>().or_else(boxed) {
        Some(kube::Error::Api(status)) if !status.message.is_empty() => Some(status.message.clone()),
        Some(kube::Error::Api(status)) => Some(format!("{} ({})", status.reason, status.code)),
        _ => None,
    }
}

/// The class of an API server's error. One that answers with an error is no failure of the network.
#[must_use]
pub fn of_cluster(error: &kube::Error) -> Class {
    if matches!(error, kube::Error::Api(_)) { Class::Other } else { Class::Network }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot apply it")]
    struct Apply(#[source] Box<kube::Error>);

    #[test]
    fn of_an_api_server_s_answer_only_the_message_is_told() {
        let answer = || kube::Error::Api(Box::new(Status::failure("pods \"a\" is forbidden", "Forbidden")));
        assert_eq!(words(&answer()), "pods \"a\" is forbidden");
        assert_eq!(words(&Apply(Box::new(answer()))), "cannot apply it: pods \"a\" is forbidden");
        let silent = kube::Error::Api(Box::new(Status::failure("", "Timeout").with_code(504)));
        assert_eq!(words(&Apply(Box::new(silent))), "cannot apply it: Timeout (504)");
    }
}
