//! Who allocated what: call sites put together from the outermost function inwards, with their shares.

use crate::result::finding::CallSite;
use crate::text::number;
use maud::{Markup, html};

/// Functions that call each other without a branch, and what branches off the last of them.
#[derive(Debug, PartialEq)]
struct Node {
    /// Outermost first, and whether it is the one that is named as the call site.
    frames: Vec<(String, bool)>,
    /// Of the growth.
    share: f64,
    inner: Vec<Node>,
}

/// Makes the tree of one finding.
pub fn tree(sites: &[CallSite]) -> Markup {
    let mut roots = Vec::new();
    for site in sites {
        let frames: Vec<&String> =
            if site.stack.is_empty() { vec![&site.function] } else { site.stack.iter().rev().collect() };
        insert(&mut roots, &frames, site);
    }
    roots.iter_mut().for_each(Node::join);
    markup(&roots)
}

fn insert(nodes: &mut Vec<Node>, frames: &[&String], site: &CallSite) {
    let Some((first, rest)) = frames.split_first() else { return };
    let known = nodes.iter().position(|node| node.frames[0].0 == **first);
    let index = known.unwrap_or_else(|| {
        nodes.push(Node { frames: vec![((*first).clone(), false)], share: 0.0, inner: Vec::new() });
        nodes.len() - 1
    });
    let node = &mut nodes[index];
    node.share += site.share;
    node.frames[0].1 |= **first == site.function;
    insert(&mut node.inner, rest, site);
}

impl Node {
    /// Joins functions in a row to one node.
    fn join(&mut self) {
        while self.inner.len() == 1 && (self.inner[0].share - self.share).abs() < 1e-9 {
            let only = self.inner.remove(0);
            self.frames.extend(only.frames);
            self.inner = only.inner;
        }
        self.inner.iter_mut().for_each(Node::join);
        self.inner.sort_by(|a, b| b.share.total_cmp(&a.share));
    }
}

fn markup(nodes: &[Node]) -> Markup {
    html! {
        ul class="tree" {
            @for node in nodes {
                li {
                    div class="node" {
                        div class="share" {
                            span { (number::share(node.share)) }
                            span class="bar" { span style=(format!("width:{:.1}%", (node.share * 100.0).clamp(0.0, 100.0))) {} }
                        }
                        ol class="frames" {
                            @for (frame, is_site) in &node.frames {
                                li class=[is_site.then_some("site")] { code { (frame) } }
                            }
                        }
                    }
                    @if !node.inner.is_empty() { (markup(&node.inner)) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(function: &str, share: f64, stack: &[&str]) -> CallSite {
        CallSite { function: function.into(), share, stack: stack.iter().map(|f| (*f).to_owned()).collect() }
    }

    #[test]
    fn frames_that_sites_share_are_shown_once() {
        let sites = [site("a", 0.75, &["kmalloc", "a", "readdir", "sys"]), site("b", 0.25, &["b", "readdir", "sys"])];
        let text = tree(&sites).into_string();
        assert_eq!(text.matches("readdir").count(), 1, "{text}");
        assert_eq!(text.matches("class=\"site\"").count(), 2, "{text}");
        for share in ["100 %", "75 %", "25 %"] {
            assert!(text.contains(share), "{share}: {text}");
        }
        assert!(text.find("75 %") < text.find("25 %"), "{text}");
    }

    #[test]
    fn site_without_a_stack_is_its_function() {
        let text = tree(&[site("nfs_opendir<", 1.0, &[])]).into_string();
        assert!(text.contains("<code>nfs_opendir&lt;</code>"), "{text}");
    }
}
