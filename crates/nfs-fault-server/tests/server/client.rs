//! A client of NFS version 3 as small as tests of a server need it.

use nfs3_types::mount::{self, dirpath, mountres3};
use nfs3_types::nfs3::{
    self, GETATTR3args, GETATTR3res, LOOKUP3args, LOOKUP3res, Nfs3Result, READDIR3args, READDIR3res, READDIR3resfail,
    READDIR3resok, READDIRPLUS3args, READDIRPLUS3res, cookieverf3, dirlist3, diropargs3, entry3, entryplus3, fattr3,
    filename3, nfs_fh3, nfsstat3,
};
use nfs3_types::rpc::{accept_stat_data, call_body, msg_body, opaque_auth, reply_body, rpc_msg};
use nfs3_types::xdr_codec::{List, Opaque, Pack, Unpack};
use std::io::{Cursor, Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Much longer than any answer takes, on a slow machine, too.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Client {
    pub stream: TcpStream,
    xid: u32,
}

/// An entry as READDIR or READDIRPLUS shows it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub fileid: u64,
    pub cookie: u64,
    pub attributes: Option<fattr3>,
    pub handle: Option<nfs_fh3>,
}

/// One reply to READDIR or READDIRPLUS.
#[derive(Debug)]
pub struct Page {
    pub entries: Vec<Entry>,
    pub eof: bool,
    pub verifier: cookieverf3,
    /// Seconds of the directory's change time.
    pub changed: u32,
}

impl Page {
    pub fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
    }

    pub fn cookies(&self) -> Vec<u64> {
        self.entries.iter().map(|entry| entry.cookie).collect()
    }
}

/// What is asked for, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    pub plus: bool,
    pub cookie: u64,
    pub verifier: cookieverf3,
    pub bytes: u32,
}

impl Ask {
    /// Asks for the first reply of so many bytes.
    pub fn first(plus: bool, bytes: u32) -> Self {
        Self { plus, cookie: 0, verifier: cookieverf3([0; 8]), bytes }
    }

    /// Asks for the reply behind that one.
    pub fn behind(self, page: &Page) -> Self {
        let cookie = page.entries.last().map_or(self.cookie, |entry| entry.cookie);
        Self { cookie, verifier: page.verifier, ..self }
    }
}

impl Client {
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, xid: 0 }
    }

    /// Sends a call without waiting for its reply.
    pub fn send(&mut self, (program, version, proc): (u32, u32, u32), args: &impl Pack) -> Result<()> {
        self.xid += 1;
        let (cred, verf) = (opaque_auth::default(), opaque_auth::default());
        let body = msg_body::CALL(call_body { rpcvers: 2, prog: program, vers: version, proc, cred, verf });
        let mut record = vec![0; 4];
        rpc_msg { xid: self.xid, body }.pack(&mut record).unwrap();
        args.pack(&mut record).unwrap();
        let length = (record.len() - 4) as u32 | 0x8000_0000;
        record[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&record)
    }

    /// Receives the results of the call that was sent last.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_be_bytes(header) & 0x7fff_ffff;
        let mut record = vec![0; length as usize];
        self.stream.read_exact(&mut record)?;
        let mut read = Cursor::new(record.as_slice());
        let (message, bytes) = rpc_msg::unpack(&mut read).map_err(undecodable)?;
        assert_eq!(message.xid, self.xid);
        match message.body {
            msg_body::REPLY(reply_body::MSG_ACCEPTED(reply)) => match reply.reply_data {
                accept_stat_data::SUCCESS => Ok(record.split_off(bytes)),
                other => Err(Error::new(ErrorKind::Unsupported, format!("{other:?}"))),
            },
            other => panic!("{other:?}"),
        }
    }

    pub fn call<T: Unpack>(&mut self, procedure: (u32, u32, u32), args: &impl Pack) -> Result<T> {
        self.send(procedure, args)?;
        let results = self.receive()?;
        let (value, bytes) = T::unpack(&mut Cursor::new(&results)).map_err(undecodable)?;
        assert_eq!(bytes, results.len(), "nothing is left of the reply");
        Ok(value)
    }

    pub fn nfs<T: Unpack>(&mut self, procedure: u32, args: &impl Pack) -> Result<T> {
        self.call((nfs3::PROGRAM, nfs3::VERSION, procedure), args)
    }

    pub fn mnt(&mut self, path: &str) -> Result<mountres3<'static>> {
        self.call((mount::PROGRAM, mount::VERSION, 1), &dirpath(Opaque::borrowed(path.as_bytes())))
    }

    pub fn root(&mut self) -> nfs_fh3 {
        match self.mnt("/").unwrap() {
            mountres3::Ok(ok) => nfs_fh3 { data: ok.fhandle.0 },
            mountres3::Err(status) => panic!("{status}"),
        }
    }

    pub fn getattr(&mut self, object: &nfs_fh3) -> std::result::Result<fattr3, nfsstat3> {
        let object = object.clone();
        match self.nfs::<GETATTR3res>(1, &GETATTR3args { object }).unwrap() {
            Nfs3Result::Ok(ok) => Ok(ok.obj_attributes),
            Nfs3Result::Err((status, _)) => Err(status),
        }
    }

    pub fn lookup(&mut self, dir: &nfs_fh3, name: &[u8]) -> std::result::Result<(nfs_fh3, fattr3), nfsstat3> {
        let what = diropargs3 { dir: dir.clone(), name: filename3::from(name) };
        match self.nfs::<LOOKUP3res>(3, &LOOKUP3args { what }).unwrap() {
            Nfs3Result::Ok(ok) => Ok((ok.object, ok.obj_attributes.unwrap())),
            Nfs3Result::Err((status, _)) => Err(status),
        }
    }

    pub fn page(&mut self, dir: &nfs_fh3, ask: Ask) -> Result<std::result::Result<Page, nfsstat3>> {
        let Ask { plus, cookie, verifier: cookieverf, bytes } = ask;
        let dir = dir.clone();
        if plus {
            let args = READDIRPLUS3args { dir, cookie, cookieverf, dircount: bytes, maxcount: bytes };
            return self.nfs::<READDIRPLUS3res>(17, &args).map(plus_page);
        }
        self.nfs::<READDIR3res>(16, &READDIR3args { dir, cookie, cookieverf, count: bytes }).map(plain_page)
    }

    /// Returns all replies of a listing.
    pub fn list(&mut self, dir: &nfs_fh3, plus: bool, bytes: u32) -> Vec<Page> {
        let mut ask = Ask::first(plus, bytes);
        let mut pages: Vec<Page> = Vec::new();
        while pages.last().is_none_or(|page| !page.eof) {
            let page = self.page(dir, ask).unwrap().unwrap();
            ask = ask.behind(&page);
            pages.push(page);
        }
        pages
    }

    /// Returns all entries of a listing but `.` and `..`.
    pub fn entries(&mut self, dir: &nfs_fh3, plus: bool, bytes: u32) -> Vec<Entry> {
        let all = self.list(dir, plus, bytes).into_iter().flat_map(|page| page.entries);
        all.filter(|entry| entry.name != b"." && entry.name != b"..").collect()
    }
}

fn undecodable(error: nfs3_types::xdr_codec::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error.to_string())
}

fn plain_page(result: READDIR3res) -> std::result::Result<Page, nfsstat3> {
    let ok = match result {
        Nfs3Result::Ok(ok) => ok,
        Nfs3Result::Err((status, _)) => return Err(status),
    };
    let entries = ok.reply.entries.into_inner().into_iter().map(|entry| Entry {
        name: entry.name.0.into_owned(),
        fileid: entry.fileid,
        cookie: entry.cookie,
        attributes: None,
        handle: None,
    });
    let changed = ok.dir_attributes.unwrap().ctime.seconds;
    Ok(Page { entries: entries.collect(), eof: ok.reply.eof, verifier: ok.cookieverf, changed })
}

fn plus_page(result: READDIRPLUS3res<'static>) -> std::result::Result<Page, nfsstat3> {
    let (mut attributes, mut handles) = (Vec::new(), Vec::new());
    let plain = |entry: entryplus3<'static>| {
        attributes.push(entry.name_attributes.is_some().then(|| entry.name_attributes.unwrap()));
        handles.push(entry.name_handle.is_some().then(|| entry.name_handle.unwrap()));
        entry3 { fileid: entry.fileid, name: entry.name, cookie: entry.cookie }
    };
    let result = match result {
        Nfs3Result::Ok(ok) => {
            let entries = List(ok.reply.entries.into_inner().into_iter().map(plain).collect());
            let reply = dirlist3 { entries, eof: ok.reply.eof };
            Nfs3Result::Ok(READDIR3resok { dir_attributes: ok.dir_attributes, cookieverf: ok.cookieverf, reply })
        }
        Nfs3Result::Err((status, _)) => Nfs3Result::Err((status, READDIR3resfail::default())),
    };
    let mut page = plain_page(result)?;
    for ((entry, attributes), handle) in page.entries.iter_mut().zip(attributes).zip(handles) {
        (entry.attributes, entry.handle) = (attributes, handle);
    }
    Ok(page)
}
