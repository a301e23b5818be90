//! What the synthetic server needs to list a directory, through a TCP connection over the loopback interface: a guest's
//! kernel lists a million entries in a few seconds, and none of them may be the server's.

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use dirleak::dirtree::name_spec::Names;
use dirleak::dirtree::spec::Directory;
use dirleak::dirtree::tree::Tree;
use dirleak::nfs_server::{Export, Server};
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// Without optimisation nothing is measured, only tried.
const ENTRIES: u64 = if cfg!(debug_assertions) { 50_000 } else { 1_000_000 };
/// As the kernel's client asks for with an rsize of 1 MiB.
const REPLY_BYTES: u32 = 1 << 20;
/// Behind the cookie of the last entry: nothing follows, end of file; with READDIRPLUS attributes and handle before.
const AFTER_COOKIE: [usize; 2] = [4 + 4, 4 + 84 + 4 + 4 + 16 + 4 + 4];

/// A client that looks at no more of a reply than it must to ask for the next one.
struct Client {
    stream: TcpStream,
    reply: Vec<u8>,
}

impl Client {
    /// The results of a call, behind the header of the reply.
    fn call(&mut self, program: u32, procedure: u32, arguments: &[u8]) -> &[u8] {
        let head: [u32; 10] = [1, 0, 2, program, 3, procedure, 0, 0, 0, 0];
        let length = (40 + arguments.len()) as u32 | 0x8000_0000;
        let mut call: Vec<u8> =
            length.to_be_bytes().into_iter().chain(head.into_iter().flat_map(u32::to_be_bytes)).collect();
        call.extend_from_slice(arguments);
        self.stream.write_all(&call).expect("the server takes calls");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("the server answers");
        self.reply.resize((u32::from_be_bytes(length) & 0x7fff_ffff) as usize, 0);
        self.stream.read_exact(&mut self.reply).expect("the server answers");
        &self.reply[24..]
    }

    /// Lists the directory of a handle, length in front, and gives the last cookie.
    fn list(&mut self, handle: &[u8], plus: bool) -> u64 {
        let procedure = if plus { 17 } else { 16 };
        let mut cookie = 0u64;
        loop {
            let mut arguments = [handle, &cookie.to_be_bytes(), &[0; 8]].concat();
            (0..procedure - 15).for_each(|_| arguments.extend_from_slice(&REPLY_BYTES.to_be_bytes()));
            let reply = self.call(100_003, procedure, &arguments);
            let end = reply.len() - AFTER_COOKIE[usize::from(plus)];
            cookie = u64::from_be_bytes(reply[end - 8..end].try_into().expect("8 bytes"));
            if reply.ends_with(&[0, 0, 0, 1]) {
                return cookie;
            }
        }
    }
}

fn listing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("list {ENTRIES} entries"));
    group.throughput(Throughput::Elements(ENTRIES)).sample_size(10).sampling_mode(SamplingMode::Flat);
    let forms = [
        ("24", Names::random(24, 24)),
        ("200", Names::random(200, 200)),
        ("pattern", Names::pattern("{n}_0123456789abcdef")),
    ];
    for (bytes, names) in forms {
        let tree = Tree::new(&Directory::flat(ENTRIES, names), 42);
        let server = Server::start(Export::new(tree, 42)).expect("there is a free port");
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let mut client = Client { stream, reply: Vec::new() };
        let root = client.call(100_005, 1, &[0, 0, 0, 1, b'/', 0, 0, 0])[4..24].to_vec();
        for plus in [false, true] {
            let name = if plus { "READDIRPLUS" } else { "READDIR" };
            group.bench_function(format!("{name}, names of {bytes} bytes"), |bencher| {
                bencher.iter(|| assert_eq!(client.list(black_box(&root), plus), ENTRIES + 2));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = listing
}
criterion_main!(benches);
