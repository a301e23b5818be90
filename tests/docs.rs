//! The law of the house for documentation: the doc of a function begins with what the function does, a verb in the third person.
//! Docs are read from the tokens of every file of the program and of the failing server.

use proc_macro2::{TokenStream, TokenTree};
use std::fs;
use std::path::Path;

/// Words that end like a verb in the third person and are none.
const NO_VERBS: [&str; 7] = ["Always", "As", "Its", "Less", "This", "Unless", "Us"];

/// Words that may stand between the doc of a function and its `fn`, but for `pub(crate)` and `extern "C"`.
const BEFORE_FN: [&str; 6] = ["pub", "default", "const", "async", "unsafe", "extern"];

#[test]
fn docs_of_functions_begin_with_a_verb() {
    let (mut complaints, mut dirs) = (Vec::new(), vec![Path::new("src").to_owned(), Path::new("crates").to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("the source is there") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("it is text");
                complaints.extend(without_verb(&text).iter().map(|name| format!("{}: {name}", path.display())));
            }
        }
    }
    assert!(complaints.is_empty(), "no verb begins the doc of\n{}", complaints.join("\n"));
}

/// Returns the names of the functions in `text` whose docs do not begin with a verb.
fn without_verb(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    search(text.parse().unwrap_or_else(|e| panic!("{text} is no Rust: {e}")), &mut names);
    names
}

/// Adds to `names` those of the functions in `tokens`. A doc is as good as the attribute `#[doc = "..."]`, and `proc_macro2` gives it as
/// that.
fn search(tokens: TokenStream, names: &mut Vec<String>) {
    let mut doc: Option<String> = None;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match (&token, tokens.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(attribute))) if mark.as_char() == '#' => {
                let mut inner = attribute.stream().into_iter();
                if inner.next().is_some_and(|name| name.to_string() == "doc") && doc.is_none() {
                    doc = inner.nth(1).map(|text| text.to_string());
                }
                tokens.next();
            }
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "fn" => {
                names.extend(doc.take().filter(|doc| !begins_with_verb(doc)).map(|_| name.to_string()));
            }
            (TokenTree::Ident(word), _) if BEFORE_FN.iter().any(|before| word == before) => {}
            (TokenTree::Group(inner), _) => {
                search(inner.stream(), names);
                // In the words before `fn` it is that of `pub(crate)`.
                doc = doc.filter(|_| matches!(tokens.peek(), Some(TokenTree::Ident(_))));
            }
            (TokenTree::Literal(_), _) => {}
            _ => doc = None,
        }
    }
}

/// Returns whether a doc, in quotes, begins with a word that can be a verb in the third person. A noun can look the same, but is given
/// away by an `of` behind it.
fn begins_with_verb(doc: &str) -> bool {
    let mut words = doc.trim_matches(|c: char| c == '"' || c == ' ').split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let first = first.trim_end_matches([',', '.', ':', ';']);
    let is_capital = first.starts_with(|c: char| c.is_ascii_uppercase());
    let is_plain = first.chars().skip(1).all(|c| c.is_ascii_lowercase());
    is_capital && is_plain && first.ends_with('s') && !NO_VERBS.contains(&first) && second != Some("of")
}

#[test]
fn doc_without_a_verb_is_refused() {
    let refused =
        |doc: &str| without_verb(&format!("impl A {{\n/// {doc}\n#[cold]\npub(crate) const fn f() {{}}\n}}")) == ["f"];
    for doc in [
        "The length.",
        "Length of it.",
        "`None` if it is none.",
        "clap returns it.",
        "Names of all.",
        "This is it.",
        "Gave it.",
    ] {
        assert!(refused(doc), "{doc}");
    }
    for doc in ["Returns its length.", "Names all.\n/// The rest is of no matter.", "Runs, shows and ends."] {
        assert!(!refused(doc), "{doc}");
    }
}

#[test]
fn docs_of_what_is_no_function_may_begin_with_a_noun() {
    assert_eq!(without_verb("/// The length.\npub const A: fn() = f; pub fn f() {}"), [""; 0]);
    assert_eq!(without_verb("pub trait T {\n/// What it is.\nconst A: u8;\n/// The name.\nfn name();\n}"), ["name"]);
}
