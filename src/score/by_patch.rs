//! What the tables of a score have in common: a line for all runs of a patch, and how many of them are right.

/// Returns what there is of each patch together, in the order in which the patches come first.
pub(super) fn by_patch<T>(all: &[T], patch: impl Fn(&T) -> &str) -> Vec<Vec<&T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|group| patch(group[0]) == patch(one)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}

/// Returns "5 of 5", marked where it is not all.
pub(super) fn share<T>(all: &[T], is: impl Fn(&T) -> bool) -> String {
    let (right, all) = (all.iter().filter(|one| is(one)).count(), all.len());
    format!("{right} of {all}{}", if right < all { "*" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_patch_are_together_in_the_order_of_the_first() {
        let runs = [("b", 1), ("a", 2), ("b", 3)];
        assert_eq!(by_patch(&runs, |run| run.0), [vec![&("b", 1), &("b", 3)], vec![&("a", 2)]]);
    }

    #[test]
    fn share_is_marked_where_it_is_not_all() {
        assert_eq!([1, 3].map(|most| share(&[1, 2, 3], |n| *n <= most)), ["1 of 3*", "3 of 3"]);
    }
}
