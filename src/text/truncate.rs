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

/// Returns at most `room` characters, the end kept: of a path the file's name says most.
pub fn tail(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.into();
    }
    let kept: String = text.chars().skip(length(text) - room.saturating_sub(3)).collect();
    "...".to_owned() + &kept
}
