//! A captured frame against what it is known to say: decoded, compared, encoded back.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use zk_session::ErrorCode;
use zk_session::wire::{
    ConnectRequest, ConnectResponse, EventType, LENGTH_BYTES, OpCode, Reader, Reply, ReplyHeader,
    Request, RequestHeader, WatcherEvent, WireError, Xid,
};

use super::capture::{self, Frame, hex};
use super::exercise::{encoded, exercise, op_codes};
use super::render;

/// What stands in for a request's body where the bytes are odd on purpose, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Odd {
    /// It does not decode; the server answered MARSHALLINGERROR.
    Refused(WireError),
    /// It decodes and encodes to the same bytes, but holds a null that the operation forbids: the
    /// server answered MARSHALLINGERROR.
    ForbiddenNull,
    /// So many bytes follow it.
    Trailing(usize),
    /// At this byte stands a true that is not 1.
    Boolean { at: usize, byte: u8 },
    /// At this byte stands a vector's count below -1.
    Count { at: usize, count: i32 },
}

/// What has been compared.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// Frames decoded, compared and encoded back.
    pub(crate) frames: usize,
    /// The same by kind.
    pub(crate) kinds: BTreeMap<String, usize>,
    /// Bytes that are malformed on purpose, and were not taken for a frame.
    pub(crate) malformed: usize,
    /// Scenario and number of requests that are odd on purpose.
    pub(crate) odd: Vec<((String, u64), Odd)>,
}

pub(crate) fn check(directory: &Path) -> Checked {
    try_check(directory).unwrap_or_else(|failures| panic!("\n{}", failures.join("\n")))
}

/// Checks every frame of a directory.
///
/// # Errors
/// A line for every frame that is not as described.
pub(crate) fn try_check(directory: &Path) -> Result<Checked, Vec<String>> {
    let frames = capture::read(directory).map_err(|error| vec![error])?;
    let mut checked = Checked::default();
    let mut failures = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let answer = answer(frame, &frames[index + 1..]);
        match check_frame(frame, answer, &mut checked) {
            Ok(()) => {}
            Err(failure) => failures.push(format!("{}: {failure}", frame.origin)),
        }
    }
    if failures.is_empty() { Ok(checked) } else { Err(failures) }
}

/// The error code that a request was answered with in the same capture.
fn answer(request: &Frame, later: &[Frame]) -> Option<i32> {
    let xid = &request.decoded["header"]["xid"];
    let mut later = later.iter().take_while(|frame| frame.scenario == request.scenario);
    let reply = later.find(|frame| {
        frame.conn == request.conn
            && frame.kind == "reply"
            && frame.decoded["header"]["xid"] == *xid
    })?;
    reply.decoded["header"]["err"].as_i64().and_then(|err| i32::try_from(err).ok())
}

fn check_frame(frame: &Frame, answer: Option<i32>, checked: &mut Checked) -> Result<(), String> {
    match frame.kind.as_str() {
        // Text, not frames.
        "fourlw" => return Ok(()),
        // Bad lengths and whole conversations: `contents` and `exercise` are their test.
        "raw" => {
            checked.malformed += 1;
            contents(&frame.bytes).iter().for_each(|content| exercise(content, &op_codes()));
            return Ok(());
        }
        _ => {}
    }
    let content = content(&frame.bytes)?;
    if frame.decoded.is_null() {
        checked.malformed += 1;
        return refuse(&frame.kind, content);
    }
    let again = match frame.kind.as_str() {
        "connect_request" => check_connect_request(content, &frame.decoded)?,
        "connect_response" => check_connect_response(content, &frame.decoded)?,
        "request" if frame.decoded.get("body_hex").is_some() => {
            let odd = check_odd_request(content, &frame.decoded, answer)?;
            checked.odd.push(((frame.scenario.clone(), frame.n), odd));
            content.to_vec()
        }
        "request" => check_request(content, &frame.decoded)?,
        "reply" => check_reply(content, &frame.decoded)?,
        "notification" => check_notification(content, &frame.decoded)?,
        other => return Err(format!("no kind {other}")),
    };
    same_bytes(content, &again, &frame.decoded)?;
    checked.frames += 1;
    *checked.kinds.entry(frame.kind.clone()).or_default() += 1;
    Ok(())
}

/// A frame without its length, which must be that of the bytes.
fn content(frame: &[u8]) -> Result<&[u8], String> {
    let mut reader = Reader::new(frame);
    let length = reader.int().map_err(|error| error.to_string())?;
    let content = reader.rest();
    if usize::try_from(length) != Ok(content.len()) {
        return Err(format!("the length is {length}, the content has {} bytes", content.len()));
    }
    Ok(content)
}

/// The frames of a stream without their lengths. Ends at a length that no frame can have; a frame
/// that is cut short is given as far as it goes.
pub(crate) fn contents(stream: &[u8]) -> Vec<&[u8]> {
    let mut contents = Vec::new();
    let mut rest = stream;
    while let Some((length, after)) = rest.split_at_checked(LENGTH_BYTES) {
        let length = Reader::new(length).int().map(usize::try_from);
        let Ok(Ok(length)) = length else { break };
        let (content, after) = after.split_at(length.min(after.len()));
        contents.push(content);
        rest = after;
    }
    contents
}

/// The encoding must be the captured bytes but for the trailing ones that the vector names.
fn same_bytes(content: &[u8], again: &[u8], decoded: &Value) -> Result<(), String> {
    let trailing = decoded.get("trailing").and_then(Value::as_str).unwrap_or_default();
    let (expected, rest) = content
        .len()
        .checked_sub(trailing.len() / 2)
        .and_then(|end| content.split_at_checked(end))
        .ok_or("more trailing bytes than there are")?;
    if hex(rest) != trailing {
        return Err(format!("the trailing bytes are {}, the vector says {trailing}", hex(rest)));
    }
    if expected == again {
        return Ok(());
    }
    let at = expected.iter().zip(again).take_while(|(left, right)| left == right).count();
    let window = |bytes: &[u8]| hex(&bytes[at..bytes.len().min(at + 16)]);
    Err(format!(
        "encoded, byte {at} of the content begins {} where the capture has {} ({} bytes, not {})",
        window(again),
        window(expected),
        again.len(),
        expected.len(),
    ))
}

fn same(decoded: &Value, found: &Value) -> Result<(), String> {
    render::difference("decoded", decoded, found).map_or(Ok(()), Err)
}

/// What follows the record, if anything does.
fn put_trailing(form: &mut Value, rest: &[u8]) {
    if !rest.is_empty() {
        form["trailing"] = json!(hex(rest));
    }
}

fn blame(error: WireError) -> String {
    format!("does not decode: {error}")
}

fn check_connect_request(content: &[u8], decoded: &Value) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(content);
    let connect = ConnectRequest::read(&mut reader).map_err(blame)?;
    let mut form = json!({"body": render::connect_request(&connect)});
    put_trailing(&mut form, reader.rest());
    same(decoded, &form)?;
    Ok(encoded(|w| connect.write(w)))
}

fn check_connect_response(content: &[u8], decoded: &Value) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(content);
    let connect = ConnectResponse::read(&mut reader).map_err(blame)?;
    let mut form = json!({"body": render::connect_response(&connect)});
    put_trailing(&mut form, reader.rest());
    same(decoded, &form)?;
    Ok(encoded(|w| connect.write(w)))
}

fn check_request(content: &[u8], decoded: &Value) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(content);
    let header = RequestHeader::read(&mut reader).map_err(blame)?;
    let body = reader.rest();
    let (op, form, again) = match OpCode::from_wire(header.op) {
        Some(op) => {
            let request = Request::decode(op, body).map_err(blame)?;
            let again = encoded(|w| request.encode(w));
            (render::op_name(op).to_owned(), render::request(&request), again)
        }
        // No such operation: what follows the header is anyone's guess.
        None => (format!("opcode{}", header.op), json!({}), Vec::new()),
    };
    let mut form = json!({"header": render::request_header(header), "op": op, "body": form});
    put_trailing(&mut form, body.get(again.len()..).unwrap_or_default());
    same(decoded, &form)?;
    Ok([encoded(|w| header.write(w)), again].concat())
}

/// A request whose body is odd on purpose: says how, by what encodes differently and by what the
/// server thought of it.
fn check_odd_request(content: &[u8], decoded: &Value, answer: Option<i32>) -> Result<Odd, String> {
    let mut reader = Reader::new(content);
    let header = RequestHeader::read(&mut reader).map_err(blame)?;
    let body = reader.rest();
    let op = OpCode::from_wire(header.op).ok_or("an odd body of an unknown operation")?;
    let header = render::request_header(header);
    let form = json!({"header": header, "op": render::op_name(op), "body_hex": hex(body)});
    same(decoded, &form)?;
    let refused = answer == Some(ErrorCode::MarshallingError.to_wire());
    let odd = match Request::decode(op, body) {
        Err(error) => Odd::Refused(error),
        Ok(request) => oddity(body, &encoded(|w| request.encode(w)))?,
    };
    match odd {
        Odd::Refused(_) | Odd::ForbiddenNull if !refused => {
            Err(format!("{odd:?}, but the server answered {answer:?}"))
        }
        Odd::Trailing(_) | Odd::Boolean { .. } | Odd::Count { .. } if refused => {
            Err(format!("{odd:?}, but the server refused to decode it"))
        }
        odd => Ok(odd),
    }
}

/// The one way in which a body that decodes is not what would be encoded.
fn oddity(body: &[u8], again: &[u8]) -> Result<Odd, String> {
    let at = body.iter().zip(again).take_while(|(left, right)| left == right).count();
    let (left, right) = (&body[at..], &again[at..]);
    match (left, right) {
        ([], []) => return Ok(Odd::ForbiddenNull),
        (_, []) => return Ok(Odd::Trailing(left.len())),
        ([byte @ (2..), left @ ..], [1, right @ ..]) if left == right => {
            return Ok(Odd::Boolean { at, byte: *byte });
        }
        _ => {}
    }
    let count = Reader::new(left).int();
    match (count, right) {
        (Ok(count @ (..-1)), [0, 0, 0, 0, right @ ..]) if left[4..] == *right => {
            Ok(Odd::Count { at, count })
        }
        _ => Err(format!("encoded, byte {at} begins {} instead of {}", hex(right), hex(left))),
    }
}

fn check_reply(content: &[u8], decoded: &Value) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(content);
    let header = ReplyHeader::read(&mut reader).map_err(blame)?;
    // A reply does not say what it answers; the vector does.
    let name = decoded["op"].as_str().ok_or("no op")?;
    let op = op_codes().into_iter().find(|op| render::op_name(*op) == name);
    let mut again = encoded(|w| header.write(w));
    let mut body = Value::Null;
    // Errors have no body, but that of sasl.
    if header.err == 0 || (op == Some(OpCode::Sasl) && !reader.rest().is_empty()) {
        let op = op.ok_or_else(|| format!("{name} is answered without an error"))?;
        let reply = Reply::read(op, &mut reader).map_err(blame)?;
        body = render::reply(&reply);
        again.extend(encoded(|w| reply.encode(w)));
    }
    let mut form = json!({
        "header": render::reply_header(header),
        "err_name": error_name(header.err),
        "op": name,
        "body": body,
    });
    put_trailing(&mut form, reader.rest());
    same(decoded, &form)?;
    Ok(again)
}

fn check_notification(content: &[u8], decoded: &Value) -> Result<Vec<u8>, String> {
    let mut reader = Reader::new(content);
    let header = ReplyHeader::read(&mut reader).map_err(blame)?;
    if header.xid != Xid::NOTIFICATION {
        return Err(format!("the xid is {}", header.xid));
    }
    let event = WatcherEvent::read(&mut reader).map_err(blame)?;
    if let EventType::Unknown(kind) = event.kind {
        return Err(format!("the event type {kind} has no name"));
    }
    let mut form = json!({
        "header": render::reply_header(header),
        "err_name": error_name(header.err),
        "body": render::watcher_event(&event),
    });
    put_trailing(&mut form, reader.rest());
    same(decoded, &form)?;
    Ok(encoded(|w| {
        header.write(w);
        event.write(w);
    }))
}

/// A frame that is malformed on purpose must not decode.
fn refuse(kind: &str, content: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(content);
    let error = match kind {
        "connect_request" => ConnectRequest::read(&mut reader).err(),
        "connect_response" => ConnectResponse::read(&mut reader).err(),
        "request" => RequestHeader::read(&mut reader)
            .and_then(|header| {
                let op =
                    OpCode::from_wire(header.op).ok_or(WireError::BadOpCode { op: header.op })?;
                Request::decode(op, reader.rest()).map(drop)
            })
            .err(),
        "notification" => ReplyHeader::read(&mut reader)
            .and_then(|_| WatcherEvent::read(&mut reader).map(drop))
            .err(),
        // Without what it answers, a reply can only fail in its header.
        "reply" => ReplyHeader::read(&mut reader).err(),
        other => return Err(format!("no kind {other}")),
    };
    error.map(drop).ok_or_else(|| "decodes, though it is malformed".to_owned())
}

/// `KeeperException.Code`'s name.
fn error_name(err: i32) -> String {
    ErrorCode::from_wire(err).map_or("OK".to_owned(), |code| format!("{code:?}").to_uppercase())
}
