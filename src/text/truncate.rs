//! Text cut to the room that there is for it.

/// Returns as much of an id as people quote.
pub fn short(id: &str) -> &str {
    &id[..id.len().min(12)]
}

pub fn length(text: &str) -> usize {
    text.chars().count()
}

/// Returns at most `room` characters, the beginning kept.
pub fn head_of(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.into();
    }
    let kept: String = text.chars().take(room.saturating_sub(3)).collect();
    kept + "..."
}

/// Names at most `most` of `names`, and says how many more there are.
pub fn some_of(names: &[impl AsRef<str>], most: usize) -> String {
    let named = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > most { format!("{named} and {} more", names.len() - most) } else { named }
}

/// Returns at most `room` characters, the end kept: of a path the file's name says most.
pub fn tail(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.into();
    }
    let kept: String = text.chars().skip(length(text) - room.saturating_sub(3)).collect();
    "...".to_owned() + &kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_named_briefly() {
        assert_eq!(some_of(&["a", "b", "c"], 3), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"], 3), "a, b, c and 2 more");
    }
}
