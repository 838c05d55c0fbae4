//! Text from a peer made fit for a log line or a page: short, and without control characters.

/// The first `max` characters of `text`, control characters left out.
pub(crate) fn printable(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_length_are_cut() {
        assert_eq!(printable("a\x1b[31m\nbc", 5), "a[31m");
    }
}
