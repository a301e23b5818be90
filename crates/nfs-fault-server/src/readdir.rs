//! The replies to READDIR and READDIRPLUS (RFC 1813, sections 3.3.16 and 3.3.17), entry by entry.

use super::file_handle;
use super::file_table::Files;
use super::object::Object;
use super::overlay::Overlay;
use super::xdr::{ATTRIBUTES_BYTES, padding, put, put_attributes};
use crate::dirtree::tree::Node;
use nfs3_types::nfs3::{Nfs3Option, nfsstat3};

/// The cookie of an entry is its place and this, because `.` and `..` come first.
pub const FIRST_COOKIE: u64 = 3;
/// The largest reply, and the one we prefer; the client takes the smaller of this and its rsize.
pub const LARGEST_REPLY_BYTES: u32 = 1 << 20;
/// In front of a reply's entries: status, attributes, verifier; behind them: two booleans.
const FRAME_BYTES: usize = 4 + 4 + ATTRIBUTES_BYTES + 8 + 8;
/// No entry is longer, its name of 255 bytes, attributes and handle included.
const LONGEST_ENTRY_BYTES: usize = 512;
/// "Follows", file id, and length of the name.
const HEAD_BYTES: usize = 4 + 8 + 4;

/// In front of something that may be there or not: it is there.
const FOLLOWS: [u8; 4] = 1u32.to_be_bytes();

/// What a call asks for.
pub struct ReaddirArgs {
    pub fileid: u64,
    pub cookie: u64,
    /// Bytes of the reply, at most.
    pub room: usize,
    pub plus: bool,
}

/// What a reply showed.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Cookies of its entries: behind this one, up to that one.
    behind: u64,
    up_to: u64,
    /// How many there were.
    pub entries: u64,
    /// Whether it was the end of the directory.
    pub eof: bool,
    /// How many of its entries have another cookie if all hard links of a file have one.
    pub shared_cookies: u64,
    /// Where in the reply each entry's name has its length, and each its cookie; noted if [`Twist::mark`] says so.
    pub marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub name_length: usize,
    pub cookie: usize,
}

/// How entries are shown in another way than they should.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyTweaks {
    /// No more entries than this.
    pub most: Option<u64>,
    /// What is said of the end.
    pub eof: Option<bool>,
    pub no_handles: bool,
    /// The call's cookie is taken for 0.
    pub from_the_first: bool,
    /// Hard links have the cookie of the last of them.
    pub share_cookies: bool,
    pub mark: bool,
}

impl Shown {
    /// Returns whether the nth entry is among them, `.` and `..` not counted.
    pub fn holds(&self, n: u64) -> bool {
        n.checked_add(FIRST_COOKIE - 1).is_some_and(|cookie| self.behind < cookie && cookie <= self.up_to)
    }

    /// Returns whether they begin at the first one.
    pub fn is_from_the_first(&self) -> bool {
        self.behind == 0
    }
}

/// A directory as it is listed.
struct Listed<'a> {
    files: &'a Files,
    fileid: u64,
    parent: u64,
    /// Its number and changes, if it is one of the shape.
    node: Option<(usize, Option<&'a Overlay>)>,
    /// How many entries the formula has.
    formula: u64,
}

impl<'a> Listed<'a> {
    fn new(files: &'a Files, fileid: u64, object: Object) -> Option<Self> {
        match object {
            Object::Node(number) => {
                let node = files.node(number)?;
                let parent = files.node_id(node.parent);
                let node = (number, files.overlay(number));
                Some(Self {
                    files,
                    fileid,
                    parent,
                    node: Some(node),
                    formula: files.node(number).map_or(0, Node::entries),
                })
            }
            Object::EmptyDirectory { parent } => {
                Some(Self { files, fileid, parent: files.node_id(parent), node: None, formula: 0 })
            }
            _ => None,
        }
    }

    /// Returns the cookie of the first entry behind `cookie`.
    fn next(&self, cookie: u64) -> Option<u64> {
        if cookie < FIRST_COOKIE - 1 {
            return Some(cookie + 1);
        }
        let place = cookie - (FIRST_COOKIE - 1);
        let next = match self.node? {
            (_, Some(overlay)) => overlay.next(self.formula, place)?,
            (_, None) => Some(place).filter(|place| *place < self.formula)?,
        };
        Some(next + FIRST_COOKIE)
    }

    /// Returns the one cookie of all hard links of a file; `None` if `object` has but one name.
    fn shared_cookie(&self, object: Object) -> Option<u64> {
        match (object, self.node) {
            (Object::Linked(_), Some((node, _))) => Some(self.files.last_link(node)? + FIRST_COOKIE),
            _ => None,
        }
    }

    /// Returns the file id and kind of the entry with this cookie; its name is appended to `name`.
    fn entry(&self, cookie: u64, name: &mut Vec<u8>) -> (u64, Object) {
        match (cookie.checked_sub(FIRST_COOKIE), self.node) {
            (Some(place), Some((node, overlay))) => self.files.entry(node, place, overlay, name),
            _ => {
                let dots: &[u8] = if cookie == 1 { b"." } else { b".." };
                name.extend_from_slice(dots);
                let fileid = if cookie == 1 { self.fileid } else { self.parent };
                (fileid, self.files.object(fileid).unwrap_or(Object::Node(0)))
            }
        }
    }
}

/// Writes a whole reply: as many entries behind the cookie as fit. Of an error, nothing is written.
pub fn write(
    files: &Files,
    verifier: u64,
    request: &ReaddirArgs,
    twist: ReplyTweaks,
    out: &mut Vec<u8>,
) -> Result<Shown, nfsstat3> {
    let object = files.object(request.fileid).ok_or(nfsstat3::NFS3ERR_STALE)?;
    let listed = Listed::new(files, request.fileid, object).ok_or(nfsstat3::NFS3ERR_NOTDIR)?;
    let room = request.room.min(LARGEST_REPLY_BYTES as usize).saturating_sub(FRAME_BYTES);
    let begin = out.len();
    out.reserve(room + FRAME_BYTES + LONGEST_ENTRY_BYTES);
    put(&nfsstat3::NFS3_OK, out);
    put(&Nfs3Option::Some(files.attributes(request.fileid, object)), out);
    put(&verifier, out);
    let shown = entries(&listed, request, twist, room, out);
    if shown.entries == 0 && !shown.eof && twist.most != Some(0) {
        out.truncate(begin);
        return Err(nfsstat3::NFS3ERR_TOOSMALL);
    }
    put(&false, out);
    put(&twist.eof.unwrap_or(shown.eof), out);
    Ok(shown)
}

fn entries(listed: &Listed, request: &ReaddirArgs, twist: ReplyTweaks, room: usize, out: &mut Vec<u8>) -> Shown {
    let first = out.len();
    let behind = if twist.from_the_first { 0 } else { request.cookie };
    let mut shown = Shown { behind, up_to: behind, entries: 0, eof: true, shared_cookies: 0, marks: Vec::new() };
    while let Some(cookie) = listed.next(shown.up_to) {
        let start = out.len();
        if twist.most == Some(shown.entries) {
            shown.eof = false;
            break;
        }
        let (cookie_at, object) = put_entry(listed, cookie, request.plus.then_some(!twist.no_handles), out);
        if out.len() - first > room {
            out.truncate(start);
            shown.eof = false;
            break;
        }
        shown.up_to = cookie;
        shown.entries += 1;
        if let Some(shared) = listed.shared_cookie(object).filter(|shared| *shared != cookie) {
            shown.shared_cookies += 1;
            if twist.share_cookies {
                out[cookie_at..][..8].copy_from_slice(&shared.to_be_bytes());
            }
        }
        if twist.mark {
            shown.marks.push(Mark { name_length: start + HEAD_BYTES - 4, cookie: cookie_at });
        }
    }
    shown
}

/// Writes one entry, for READDIRPLUS with attributes and perhaps a handle. Gives the place of its cookie, and what it is. By hand,
/// because attributes and handle take nfs3_types five times as long.
fn put_entry(listed: &Listed, cookie: u64, plus: Option<bool>, out: &mut Vec<u8>) -> (usize, Object) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let (fileid, object) = listed.entry(cookie, out);
    let length = out.len() - start - HEAD_BYTES;
    let head = &mut out[start..start + HEAD_BYTES];
    head[..4].copy_from_slice(&FOLLOWS);
    head[4..12].copy_from_slice(&fileid.to_be_bytes());
    head[12..].copy_from_slice(&(length as u32).to_be_bytes());
    out.extend_from_slice(&[0; 3][..padding(length)]);
    let cookie_at = out.len();
    out.extend_from_slice(&cookie.to_be_bytes());
    let Some(with_handle) = plus else { return (cookie_at, object) };
    let mut attributes = [0; ATTRIBUTES_BYTES];
    put_attributes(&listed.files.attributes(fileid, object), &mut attributes);
    out.extend_from_slice(&FOLLOWS);
    out.extend_from_slice(&attributes);
    if with_handle {
        out.extend_from_slice(&FOLLOWS);
        out.extend_from_slice(&(file_handle::BYTES as u32).to_be_bytes());
        out.extend_from_slice(&file_handle::bytes(fileid));
    } else {
        out.extend_from_slice(&[0; 4]);
    }
    (cookie_at, object)
}
