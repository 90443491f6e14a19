//! Records as JSON, in the form of `tests/vectors/README.md`.

use serde_json::{Map, Value, json};
use zk_session::wire::{
    Acl, ConnectRequest, ConnectResponse, Create, Data, List, Multi, MultiHeader, MultiOp,
    MultiResult, OpCode, Record, Reply, ReplyHeader, Request, RequestHeader, SetWatches, Stat,
    Ustring, WatcherEvent,
};

use super::capture::hex;

/// The protocol's name of an operation.
pub(crate) fn op_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Create => "create",
        OpCode::Delete => "delete",
        OpCode::Exists => "exists",
        OpCode::GetData => "getData",
        OpCode::SetData => "setData",
        OpCode::GetAcl => "getACL",
        OpCode::SetAcl => "setACL",
        OpCode::GetChildren => "getChildren",
        OpCode::Sync => "sync",
        OpCode::Ping => "ping",
        OpCode::GetChildren2 => "getChildren2",
        OpCode::Check => "check",
        OpCode::Multi => "multi",
        OpCode::Create2 => "create2",
        OpCode::Reconfig => "reconfig",
        OpCode::CheckWatches => "checkWatches",
        OpCode::RemoveWatches => "removeWatches",
        OpCode::CreateContainer => "createContainer",
        OpCode::CreateTtl => "createTTL",
        OpCode::MultiRead => "multiRead",
        OpCode::Auth => "auth",
        OpCode::SetWatches => "setWatches",
        OpCode::Sasl => "sasl",
        OpCode::GetEphemerals => "getEphemerals",
        OpCode::GetAllChildrenNumber => "getAllChildrenNumber",
        OpCode::SetWatches2 => "setWatches2",
        OpCode::AddWatch => "addWatch",
        OpCode::WhoAmI => "whoAmI",
        OpCode::CloseSession => "closeSession",
        other => panic!("not written down: a name for {other:?}"),
    }
}

pub(crate) fn connect_request(connect: &ConnectRequest<'_>) -> Value {
    let mut body = json!({
        "protocolVersion": connect.protocol_version,
        "lastZxidSeen": long(connect.last_zxid_seen.0),
        "timeOut": connect.timeout,
        "sessionId": long(connect.session_id.0),
        "passwd": buffer(connect.passwd),
    });
    put_read_only(&mut body, connect.read_only);
    body
}

pub(crate) fn connect_response(connect: &ConnectResponse<'_>) -> Value {
    let mut body = json!({
        "protocolVersion": connect.protocol_version,
        "timeOut": connect.timeout,
        "sessionId": long(connect.session_id.0),
        "passwd": buffer(connect.passwd),
    });
    put_read_only(&mut body, connect.read_only);
    body
}

fn put_read_only(body: &mut Value, read_only: Option<bool>) {
    if let Some(read_only) = read_only {
        body["readOnly"] = json!(read_only);
    }
}

pub(crate) fn request_header(header: RequestHeader) -> Value {
    json!({"xid": header.xid.0, "type": header.op})
}

pub(crate) fn reply_header(header: ReplyHeader) -> Value {
    json!({"xid": header.xid.0, "zxid": long(header.zxid.0), "err": header.err})
}

pub(crate) fn watcher_event(event: &WatcherEvent<'_>) -> Value {
    json!({"type": event.kind.to_wire(), "state": event.state, "path": ustring(event.path)})
}

pub(crate) fn request(request: &Request<'_>) -> Value {
    match *request {
        Request::Create(body) | Request::Create2(body) | Request::CreateContainer(body) => {
            create(&body)
        }
        Request::CreateTtl(ttl) => {
            let mut body = create(&ttl.create);
            body["ttl"] = long(ttl.ttl);
            body
        }
        Request::Delete { path, version } | Request::Check { path, version } => {
            json!({"path": ustring(path), "version": version})
        }
        Request::Exists { path, watch }
        | Request::GetData { path, watch }
        | Request::GetChildren { path, watch }
        | Request::GetChildren2 { path, watch } => json!({"path": ustring(path), "watch": watch}),
        Request::SetData { path, data, version } => {
            json!({"path": ustring(path), "data": buffer(data), "version": version})
        }
        Request::SetAcl { path, acl, version } => {
            json!({"path": ustring(path), "acl": list(acl, acl_entry), "version": version})
        }
        Request::GetAcl { path }
        | Request::Sync { path }
        | Request::GetAllChildrenNumber { path } => json!({"path": ustring(path)}),
        Request::Multi(ops) | Request::MultiRead(ops) => multi_ops(ops),
        Request::Reconfig(reconfig) => json!({
            "joiningServers": ustring(reconfig.joining),
            "leavingServers": ustring(reconfig.leaving),
            "newMembers": ustring(reconfig.new_members),
            "curConfigId": long(reconfig.current_config),
        }),
        Request::CheckWatches { path, kind } | Request::RemoveWatches { path, kind } => {
            json!({"path": ustring(path), "type": kind})
        }
        Request::Auth { kind, scheme, auth } => {
            json!({"type": kind, "scheme": ustring(scheme), "auth": buffer(auth)})
        }
        Request::SetWatches(watches) => set_watches(&watches),
        Request::SetWatches2(watches) => {
            let mut body = set_watches(&watches);
            body["persistentWatches"] = list(watches.persistent, |path| ustring(*path));
            body["persistentRecursiveWatches"] =
                list(watches.persistent_recursive, |path| ustring(*path));
            body
        }
        Request::Sasl { token } => json!({"token": buffer(token)}),
        Request::GetEphemerals { prefix } => json!({"prefixPath": ustring(prefix)}),
        Request::AddWatch { path, mode } => json!({"path": ustring(path), "mode": mode}),
        Request::Ping | Request::WhoAmI | Request::CloseSession => json!({}),
        ref other => panic!("not written down: the form of {other:?}"),
    }
}

pub(crate) fn reply(reply: &Reply<'_>) -> Value {
    match *reply {
        Reply::Empty => Value::Null,
        Reply::Path(path) => json!({"path": ustring(path)}),
        Reply::Created(path, meta) => json!({"path": ustring(path), "stat": stat(&meta)}),
        Reply::Stat(meta) => json!({"stat": stat(&meta)}),
        Reply::Data(body) => data(&body),
        Reply::Acl(acl, meta) => json!({"acl": list(acl, acl_entry), "stat": stat(&meta)}),
        Reply::Children(names) => json!({"children": list(names, |name| ustring(*name))}),
        Reply::Ephemerals(paths) if paths.is_null() => json!({"ephemerals": null}),
        Reply::Ephemerals(paths) => {
            json!({"ephemerals": paths.iter().map(ustring).collect::<Vec<_>>()})
        }
        Reply::Children2(names, meta) => {
            json!({"children": list(names, |name| ustring(*name)), "stat": stat(&meta)})
        }
        Reply::Multi(results) => multi_results(results),
        Reply::Count(number) => json!({"totalNumber": number}),
        Reply::AddWatch(err) => json!({"err": err}),
        Reply::WhoAmI(identities) => json!({
            "clientInfo": list(identities, |identity| json!({
                "authScheme": ustring(identity.scheme),
                "user": ustring(identity.user),
            })),
        }),
        Reply::Sasl(token) => json!({"token": buffer(token)}),
        ref other => panic!("not written down: the form of {other:?}"),
    }
}

fn create(create: &Create<'_>) -> Value {
    json!({
        "path": ustring(create.path),
        "data": buffer(create.data),
        "acl": list(create.acl, acl_entry),
        "flags": create.flags,
    })
}

fn set_watches(watches: &SetWatches<'_>) -> Value {
    json!({
        "relativeZxid": long(watches.relative_zxid.0),
        "dataWatches": list(watches.data, |path| ustring(*path)),
        "existWatches": list(watches.exist, |path| ustring(*path)),
        "childWatches": list(watches.child, |path| ustring(*path)),
    })
}

fn multi_ops(ops: Multi<'_, MultiOp<'_>>) -> Value {
    let items = ops.iter().map(|op| {
        let body = match op {
            MultiOp::Create(body) | MultiOp::Create2(body) | MultiOp::CreateContainer(body) => {
                create(&body)
            }
            MultiOp::CreateTtl(ttl) => request(&Request::CreateTtl(ttl)),
            MultiOp::Delete { path, version } => request(&Request::Delete { path, version }),
            MultiOp::Check { path, version } => request(&Request::Check { path, version }),
            MultiOp::SetData { path, data, version } => {
                request(&Request::SetData { path, data, version })
            }
            MultiOp::GetChildren { path, watch } => request(&Request::GetChildren { path, watch }),
            MultiOp::GetData { path, watch } => request(&Request::GetData { path, watch }),
            other => panic!("not written down: the form of {other:?}"),
        };
        (MultiHeader { op: op.op().to_wire(), done: false, err: -1 }, body)
    });
    multi(items)
}

fn multi_results(results: Multi<'_, MultiResult<'_>>) -> Value {
    let items = results.iter().map(|result| {
        let (op, err, body) = match result {
            MultiResult::Error(err) => (-1, err, json!({"err": err})),
            MultiResult::Create(path) => (1, 0, json!({"path": ustring(path)})),
            MultiResult::Create2(path, meta) => {
                (15, 0, json!({"path": ustring(path), "stat": stat(&meta)}))
            }
            MultiResult::Delete => (2, 0, json!({})),
            MultiResult::Check => (13, 0, json!({})),
            MultiResult::SetData(meta) => (5, 0, json!({"stat": stat(&meta)})),
            MultiResult::Children(names) => {
                (8, 0, json!({"children": list(names, |name| ustring(*name))}))
            }
            MultiResult::Data(body) => (4, 0, data(&body)),
            other => panic!("not written down: the form of {other:?}"),
        };
        (MultiHeader { op, done: false, err }, body)
    });
    multi(items)
}

fn multi(items: impl Iterator<Item = (MultiHeader, Value)>) -> Value {
    let header =
        |header: MultiHeader| json!({"type": header.op, "done": header.done, "err": header.err});
    let items: Vec<_> = items.map(|(h, body)| json!({"header": header(h), "body": body})).collect();
    json!({"items": items, "end": header(MultiHeader::TRAILER)})
}

fn data(data: &Data<'_>) -> Value {
    json!({"data": buffer(data.data), "stat": stat(&data.stat)})
}

fn acl_entry(acl: &Acl<'_>) -> Value {
    let id = json!({"scheme": ustring(acl.scheme), "id": ustring(acl.id)});
    json!({"perms": acl.perms.0, "id": id})
}

fn stat(stat: &Stat) -> Value {
    json!({
        "czxid": long(stat.czxid.0),
        "mzxid": long(stat.mzxid.0),
        "ctime": long(stat.ctime),
        "mtime": long(stat.mtime),
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "ephemeralOwner": long(stat.ephemeral_owner),
        "dataLength": stat.data_length,
        "numChildren": stat.num_children,
        "pzxid": long(stat.pzxid.0),
    })
}

fn list<'a, T: Record<'a>>(list: List<'a, T>, element: impl Fn(&T) -> Value) -> Value {
    if list.is_null() {
        return Value::Null;
    }
    Value::Array(list.iter().map(|item| element(&item)).collect())
}

fn long(value: i64) -> Value {
    Value::String(format!("{value:#018x}"))
}

fn buffer(value: Option<&[u8]>) -> Value {
    value.map_or(Value::Null, |bytes| Value::String(hex(bytes)))
}

fn ustring(value: Ustring<'_>) -> Value {
    match (value.as_bytes(), value.as_str()) {
        (None, _) => Value::Null,
        (_, Some(text)) => Value::String(text.to_owned()),
        (Some(bytes), None) => json!({"$hex": hex(bytes)}),
    }
}

/// Where and how two values differ; `None` if they are equal.
pub(crate) fn difference(at: &str, expected: &Value, found: &Value) -> Option<String> {
    let missing = Value::String("(absent)".to_owned());
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let mut keys: Map<String, Value> = left.clone();
            keys.extend(right.clone());
            keys.keys().find_map(|key| {
                let (left, right) = (left.get(key), right.get(key));
                let at = format!("{at}.{key}");
                difference(&at, left.unwrap_or(&missing), right.unwrap_or(&missing))
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            (0..left.len().max(right.len())).find_map(|index| {
                let (left, right) = (left.get(index), right.get(index));
                let at = format!("{at}[{index}]");
                difference(&at, left.unwrap_or(&missing), right.unwrap_or(&missing))
            })
        }
        _ if expected == found => None,
        _ => Some(format!("{at} is {found}, the vector says {expected}")),
    }
}
