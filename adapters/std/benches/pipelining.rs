//! getData of 128 bytes, 256 in flight, against a server of canned replies in a process of its own,
//! so that only the client is measured: this crate beside a hand-written loop that sends encoded
//! requests and skims reply headers, which nothing can beat by much.
//!
//! `cargo bench -p zk-session-std --bench pipelining`. With `WINDOWS=n` and `SERVER=addr` it only
//! plays n windows of the client, for callgrind or strace; `benches/count.sh` does that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use zk_session::wire::{
    ConnectResponse, Data, LENGTH_BYTES, OpCode, Reply, ReplyHeader, Request, RequestHeader,
    SessionId, Stat, Writer, Xid, Zxid,
};
use zk_session_std::Client;

const WINDOW: usize = 256;
const WINDOWS: usize = 2_000;
const ROUNDS: usize = 7;
const CANNED: &str = "ZK_SESSION_BENCH_CANNED";

fn main() {
    if std::env::var_os(CANNED).is_some() {
        return serve();
    }
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    if let (Some(windows), Ok(server)) = (number("WINDOWS"), std::env::var("SERVER")) {
        return client_windows(&connect(server.parse().unwrap()), windows);
    }
    let server = Canned::start();
    let client = connect(server.addr);
    let mut floor = Floor::connect(server.addr);
    let mut rows = Vec::new();
    for round in 0..=ROUNDS {
        let row = [
            measure(WINDOWS, || floor.windows(WINDOWS)),
            measure(WINDOWS, || client_windows(&client, WINDOWS)),
        ];
        if round > 0 {
            rows.push(row);
        }
    }
    println!("getData of 128 B, {WINDOW} in flight, canned replies, {ROUNDS} rounds (min .. max)");
    for (at, name) in ["hand-written socket loop", "zk-session-std"].iter().enumerate() {
        let cpu: Vec<f64> = rows.iter().map(|row| row[at].0).collect();
        let wall: Vec<f64> = rows.iter().map(|row| row[at].1).collect();
        println!("{name:<26} CPU {} us/op   wall {} us/op", range(&cpu), range(&wall));
    }
    let ratios: Vec<f64> = rows.iter().map(|row| row[1].0 / row[0].0).collect();
    println!("CPU ratio to the loop      {}", range(&ratios));

    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        rows.push([
            measure_one(2_000, || floor.one()),
            measure_one(2_000, || {
                assert!(client.get_data("/bench/node").is_ok());
            }),
        ]);
    }
    println!("one at a time, p50");
    for (at, name) in ["hand-written socket loop", "zk-session-std"].iter().enumerate() {
        println!("{name:<26} {} us", range(&rows.iter().map(|row| row[at]).collect::<Vec<_>>()));
    }
}

fn range(values: &[f64]) -> String {
    let (min, max) = values.iter().fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    format!("{min:.3} .. {max:.3}")
}

/// CPU and wall time of this process, in microseconds an operation.
fn measure(windows: usize, work: impl FnOnce()) -> (f64, f64) {
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    work();
    let operations = (windows * WINDOW) as f64;
    let micros = |d: Duration| d.as_secs_f64() * 1e6 / operations;
    (micros(cpu.elapsed()), micros(wall.elapsed()))
}

fn measure_one(times: usize, mut work: impl FnMut()) -> f64 {
    let mut each: Vec<f64> = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    each.sort_by(f64::total_cmp);
    each[times / 2]
}

fn connect(addr: SocketAddr) -> Client {
    Client::builder(addr.to_string()).timeout(Duration::from_secs(30)).connect().unwrap()
}

fn client_windows(client: &Client, windows: usize) {
    let request = Request::get_data("/bench/node", false);
    let mut pending = Vec::with_capacity(WINDOW);
    for _ in 0..windows {
        let mut pipeline = client.pipeline();
        for _ in 0..WINDOW {
            pending.push(pipeline.submit(&request).unwrap());
        }
        drop(pipeline);
        for answer in pending.drain(..) {
            assert!(answer.wait().is_ok());
        }
    }
}

/// What a client costs that does nothing but move bytes.
struct Floor {
    stream: TcpStream,
    window: Vec<u8>,
    one: Vec<u8>,
    replies: Vec<u8>,
}

impl Floor {
    fn connect(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        let handshake = frame(|w| {
            w.int(0);
            w.long(0);
            w.int(30_000);
            w.long(0);
            w.buffer(Some(&[0; 16]));
            w.boolean(false);
        });
        stream.write_all(&handshake).unwrap();
        let mut answer = [0; 41];
        stream.read_exact(&mut answer).unwrap();
        let one = frame(|w| {
            RequestHeader { xid: Xid(1), op: OpCode::GetData.to_wire() }.write(w);
            Request::get_data("/bench/node", false).encode(w);
        });
        Self { stream, window: one.repeat(WINDOW), one, replies: vec![0; 1 << 17] }
    }

    fn windows(&mut self, windows: usize) {
        for _ in 0..windows {
            self.stream.write_all(&self.window).unwrap();
            self.skim(WINDOW);
        }
    }

    fn one(&mut self) {
        self.stream.write_all(&self.one).unwrap();
        self.skim(1);
    }

    /// Reads until so many replies have come, and looks at their headers.
    fn skim(&mut self, mut replies: usize) {
        let mut tail = 0;
        let mut head = 0;
        while replies > 0 {
            tail += self.stream.read(&mut self.replies[tail..]).unwrap();
            while tail - head >= 20 {
                let at = |i: usize| i32::from_be_bytes(self.replies[i..i + 4].try_into().unwrap());
                let len = at(head) as usize;
                if tail - head < LENGTH_BYTES + len {
                    break;
                }
                assert_eq!(at(head + 16), 0);
                head += LENGTH_BYTES + len;
                replies -= 1;
            }
        }
    }
}

fn frame(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut memory = [0; 512];
    let mut writer = Writer::new(&mut memory[LENGTH_BYTES..]);
    write(&mut writer);
    let len = writer.len();
    memory[..LENGTH_BYTES].copy_from_slice(&(len as u32).to_be_bytes());
    memory[..LENGTH_BYTES + len].to_vec()
}

struct Canned {
    child: Child,
    addr: SocketAddr,
}

impl Canned {
    fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CANNED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, addr: line.trim().parse().unwrap() }
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server: every request is answered with the same 128 bytes, every read with one write.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        std::thread::spawn(move || answer(&mut stream));
    }
}

fn answer(stream: &mut TcpStream) -> Option<()> {
    let mut handshake = [0; 49];
    stream.read_exact(&mut handshake).ok()?;
    let accept = ConnectResponse {
        protocol_version: 0,
        timeout: 30_000,
        session_id: SessionId(7),
        passwd: Some(&[7; 16]),
        read_only: Some(false),
    };
    stream.write_all(&frame(|w| accept.write(w))).ok()?;
    let data = frame(|w| {
        ReplyHeader { xid: Xid(0), zxid: Zxid(9), err: 0 }.write(w);
        Reply::Data(Data { data: Some(&[1; 128]), stat: Stat::default() }).encode(w);
    });
    let empty = frame(|w| ReplyHeader { xid: Xid(0), zxid: Zxid(9), err: 0 }.write(w));
    let mut input = vec![0; 1 << 16];
    let mut output = Vec::new();
    let mut tail = 0;
    loop {
        let n = stream.read(&mut input[tail..]).ok().filter(|n| *n > 0)?;
        tail += n;
        let mut head = 0;
        while tail - head >= 12 {
            let len = u32::from_be_bytes(input[head..head + 4].try_into().ok()?) as usize;
            if tail - head < 4 + len {
                break;
            }
            let op = i32::from_be_bytes(input[head + 8..head + 12].try_into().ok()?);
            let reply = if op == OpCode::GetData.to_wire() { &data } else { &empty };
            let start = output.len();
            output.extend_from_slice(reply);
            output[start + 4..start + 8].copy_from_slice(&input[head + 4..head + 8]);
            head += 4 + len;
        }
        input.copy_within(head..tail, 0);
        tail -= head;
        stream.write_all(&output).ok()?;
        output.clear();
    }
}
