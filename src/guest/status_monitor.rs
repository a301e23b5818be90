//! The status monitor that lockd tells of each server whose files it locks (NSM, fs/lockd/mon.c), and without which it locks nothing. In
//! place of rpc.statd: what that writes down is for the time after a reboot, which no guest has.

use super::onc_rpc::{call, read_record, reply};
use crate::error::{Context, Error, Result};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const PROGRAM: u32 = 100_024;
const VERSION: u32 = 1;
/// Where the number, the procedure of a call are among its words.
const NUMBER: usize = 0;
const PROCEDURE: usize = 5;
const NULL: u32 = 0;
/// Done, and the state of this machine, which is odd as long as it is up.
const MONITORED: [u32; 2] = [0, 1];

/// rpcbind (RFC 1833), version 2: where a program tells its port.
const PORTMAPPER: (u32, u32) = (100_000, 2);
const PORTMAPPER_PORT: u16 = 111;
const SET: u32 = 1;
const TCP: u32 = 6;
/// For rpcbind to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers from now on, and has rpcbind, which runs, tell the port.
pub fn start() -> Result<()> {
    let what = || "cannot be a status monitor for lockd in the guest".to_owned();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).machine(what)?;
    let port = listener.local_addr().machine(what)?.port();
    let mut rpcbind = TcpStream::connect((Ipv4Addr::LOCALHOST, PORTMAPPER_PORT)).machine(what)?;
    rpcbind.set_read_timeout(Some(PATIENCE)).machine(what)?;
    let (program, version) = PORTMAPPER;
    rpcbind.write_all(&call(program, version, SET, &[PROGRAM, VERSION, TCP, port.into()])).machine(what)?;
    let answer = read_record(&mut rpcbind).machine(what)?;
    if answer.last() != Some(&1) {
        return Err(Error::machine(format!("{}: rpcbind does not take its port", what())));
    }
    thread::spawn(move || {
        listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer_calls(stream))))
    });
    Ok(())
}

/// Answers each call of a connection as one whose server is watched now, or is no longer.
fn answer_calls(mut stream: TcpStream) {
    while let Ok(call) = read_record(&mut stream) {
        let (Some(number), Some(procedure)) = (call.get(NUMBER), call.get(PROCEDURE)) else { return };
        let results = if *procedure == NULL { &[][..] } else { &MONITORED };
        if stream.write_all(&reply(*number, results)).is_err() {
            return;
        }
    }
}
