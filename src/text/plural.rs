//! Counts with their nouns, and the nouns of several.

/// Returns a count with its noun.
pub fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// Returns the plural of a noun in regular English, with what is said of it behind: `rounds of operations`.
pub fn plural(noun: &str) -> String {
    let said = [" of ", " with "].iter().filter_map(|word| noun.find(word)).min().unwrap_or(noun.len());
    let (noun, said) = noun.split_at(said);
    format!("{noun}s{said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plural_is_of_the_noun_and_not_of_what_is_said_of_it() {
        for (noun, several) in [
            ("listing", "listings"),
            ("round of operations", "rounds of operations"),
            ("file with attributes of users", "files with attributes of users"),
        ] {
            assert_eq!(plural(noun), several);
        }
    }
}
