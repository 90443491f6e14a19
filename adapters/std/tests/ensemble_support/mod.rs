//! A client without a client: frames by hand over a blocking socket.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use zk_session::wire::{
    ConnectRequest, ConnectResponse, CreateMode, Reader, Reply, ReplyHeader, Request,
    RequestHeader, SessionId, Ustring, WatcherEvent, Writer, Xid, Zxid,
};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A session as granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub id: SessionId,
    pub passwd: [u8; 16],
    pub timeout: i32,
}

/// One connection.
pub struct Raw {
    pub stream: TcpStream,
    xid: i32,
}

/// A request's frame.
pub fn frame(xid: Xid, request: &Request<'_>) -> Vec<u8> {
    let mut memory = vec![0; 512];
    loop {
        let mut writer = Writer::new(&mut memory);
        writer.int(0);
        RequestHeader { xid, op: request.op().to_wire() }.write(&mut writer);
        request.encode(&mut writer);
        match writer.finish() {
            Ok(bytes) => return with_length(bytes),
            Err(error) => memory = vec![0; error.needed],
        }
    }
}

fn with_length(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let len = i32::try_from(frame.len() - 4).unwrap();
    frame[..4].copy_from_slice(&len.to_be_bytes());
    frame
}

impl Raw {
    /// Opens a connection.
    pub fn dial(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, xid: 0 })
    }

    /// Opens a connection and a new session.
    pub fn connect(addr: SocketAddr, timeout: i32) -> (Self, Granted) {
        let mut raw = Self::dial(addr).unwrap();
        let granted = raw.handshake(timeout, None).unwrap();
        assert!(granted.id.is_some());
        (raw, granted)
    }

    /// Opens a connection and resumes a session on it.
    pub fn resume(addr: SocketAddr, session: &Granted) -> io::Result<(Self, Granted)> {
        let mut raw = Self::dial(addr)?;
        let granted = raw.handshake(session.timeout, Some(session))?;
        Ok((raw, granted))
    }

    /// Exchanges the first frames.
    pub fn handshake(&mut self, timeout: i32, known: Option<&Granted>) -> io::Result<Granted> {
        let passwd = known.map_or([0; 16], |known| known.passwd);
        let mut memory = [0; 64];
        let mut writer = Writer::new(&mut memory);
        writer.int(0);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout,
            session_id: known.map_or(SessionId::NONE, |known| known.id),
            passwd: Some(&passwd),
            read_only: Some(false),
        };
        request.write(&mut writer);
        let bytes = with_length(writer.finish().unwrap());
        self.stream.write_all(&bytes)?;
        let frame = self.read_frame()?;
        let response = ConnectResponse::read(&mut Reader::new(&frame)).unwrap();
        Ok(Granted {
            id: response.session_id,
            passwd: response.passwd.unwrap().try_into().unwrap(),
            timeout: response.timeout,
        })
    }

    /// The next frame, without its length.
    pub fn read_frame(&mut self) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.stream.read_exact(&mut frame)?;
        Ok(frame)
    }

    /// Sends a request; its number.
    pub fn send(&mut self, request: &Request<'_>) -> io::Result<Xid> {
        self.xid += 1;
        self.stream.write_all(&frame(Xid(self.xid), request))?;
        Ok(Xid(self.xid))
    }

    /// Sends a request and reads frames up to its answer; events go into `events`.
    pub fn call_seeing(
        &mut self,
        request: &Request<'_>,
        events: &mut Vec<(i32, String)>,
    ) -> io::Result<Result<Vec<u8>, i32>> {
        let xid = self.send(request)?;
        loop {
            let frame = self.read_frame()?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::read(&mut reader).unwrap();
            if header.xid == Xid::NOTIFICATION {
                events.push(event(&mut reader));
                continue;
            }
            assert_eq!(header.xid, xid);
            return Ok(if header.err == 0 { Ok(reader.rest().to_vec()) } else { Err(header.err) });
        }
    }

    /// Sends a request and reads its answer: the body, or the error code.
    pub fn call(&mut self, request: &Request<'_>) -> Result<Vec<u8>, i32> {
        let mut events = Vec::new();
        let answer = self.call_seeing(request, &mut events).unwrap();
        assert!(events.is_empty(), "unexpected {events:?}");
        answer
    }

    /// Waits for a watch event.
    pub fn event(&mut self) -> (i32, String) {
        let frame = self.read_frame().unwrap();
        let mut reader = Reader::new(&frame);
        assert_eq!(ReplyHeader::read(&mut reader).unwrap().xid, Xid::NOTIFICATION);
        event(&mut reader)
    }

    /// Creates a znode.
    pub fn create(&mut self, path: &str, data: &[u8], mode: CreateMode) -> Result<(), i32> {
        self.call(&Request::create(path, data, mode)).map(drop)
    }

    /// A znode's data.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>, i32> {
        let request = Request::get_data(path, false);
        let body = self.call(&request)?;
        match Reply::decode(request.op(), &body).unwrap() {
            Reply::Data(data) => Ok(data.data.unwrap_or_default().to_vec()),
            other => panic!("{other:?}"),
        }
    }

    /// Whether a znode is there; a watch stays if asked for.
    pub fn exists(&mut self, path: &str, watch: bool) -> bool {
        match self.call(&Request::exists(path, watch)) {
            Ok(_) => true,
            Err(-101) => false,
            Err(other) => panic!("error {other}"),
        }
    }

    /// A ping and its answer.
    pub fn ping(&mut self) -> io::Result<()> {
        self.stream.write_all(&frame(Xid::PING, &Request::Ping))?;
        let frame = self.read_frame()?;
        assert_eq!(ReplyHeader::read(&mut Reader::new(&frame)).unwrap().xid, Xid::PING);
        Ok(())
    }

    /// Reads to the end: whether the server has closed or reset the connection, and what came
    /// before.
    pub fn read_to_end(&mut self) -> (bool, Vec<u8>) {
        let mut rest = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return (true, rest),
                Ok(n) => rest.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return (true, rest);
                }
                Err(_) => return (false, rest),
            }
        }
    }

    /// Whether the server closes the connection, without another word.
    pub fn is_closed(&mut self) -> bool {
        self.read_to_end() == (true, Vec::new())
    }
}

fn event(reader: &mut Reader<'_>) -> (i32, String) {
    let event = WatcherEvent::read(reader).unwrap();
    (event.kind.to_wire(), Ustring::as_str(event.path).unwrap().to_owned())
}
