//! The answers to four-letter words.

/// The value behind a name and a colon, as in `srvr`, or a tab, as in `mntr`.
pub(super) fn value<'t>(answer: &'t str, name: &str) -> Option<&'t str> {
    answer.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let rest = rest.strip_prefix(':').or_else(|| rest.strip_prefix('\t'))?;
        Some(rest.trim())
    })
}

/// A number behind a name; servers write some with a fraction.
pub(super) fn number(answer: &str, name: &str) -> Option<f64> {
    value(answer, name)?.parse().ok()
}

/// One connection, as `cons` tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Connection {
    /// The client's address and port.
    pub(super) client: String,
    /// The session's id, in hexadecimal; none before there is one.
    pub(super) session: Option<String>,
    /// Requests that have come.
    pub(super) received: f64,
    /// Requests that wait.
    pub(super) queued: f64,
    /// The session's timeout in milliseconds.
    pub(super) timeout: Option<f64>,
    /// The last operation.
    pub(super) last: Option<String>,
    /// The average latency in milliseconds.
    pub(super) average: Option<f64>,
    /// The greatest latency in milliseconds.
    pub(super) most: Option<f64>,
}

/// All connections: lines like ` /127.0.0.1:5[1](queued=0,recved=5,sent=5,sid=0x1,lop=PING,…)`.
pub(super) fn connections(answer: &str) -> Vec<Connection> {
    answer.lines().filter_map(connection).collect()
}

fn connection(line: &str) -> Option<Connection> {
    let (client, rest) = line.trim().strip_prefix('/')?.rsplit_once('(')?;
    let (client, fields) = (client.rsplit_once('[')?.0, rest.strip_suffix(')')?);
    let of = |name: &str| {
        fields.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let number = |name: &str| of(name).and_then(|value| value.parse().ok());
    Some(Connection {
        client: client.to_owned(),
        session: of("sid").filter(|id| *id != "0x0").map(str::to_owned),
        received: number("recved").unwrap_or_default(),
        queued: number("queued").unwrap_or_default(),
        timeout: number("to"),
        last: of("lop").filter(|op| *op != "NA").map(str::to_owned),
        average: number("avglat"),
        most: number("maxlat"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_behind_a_colon_or_a_tab() {
        let srvr = "Zookeeper version: 3.8.0\nLatency min/avg/max: 0/1.5/9\nMode: leader\n";
        assert_eq!(value(srvr, "Mode"), Some("leader"));
        assert_eq!(value(srvr, "Latency min/avg/max"), Some("0/1.5/9"));
        assert_eq!(number("zk_watch_count\t3\nzk_watch\tx\n", "zk_watch_count"), Some(3.0));
        assert_eq!(number("zk_watch_count\t3\nzk_watch\tx\n", "zk_watch"), None);
        assert_eq!(value("", "Mode"), None);
    }

    #[test]
    fn a_connection_is_read_with_and_without_a_session() {
        let cons = " /127.0.0.1:5000[1](queued=2,recved=5,sent=5,sid=0x1000,lop=PING,est=1,\
                    to=10000,lcxid=0x1,lzxid=0x2,lresp=1,llat=0,minlat=0,avglat=1,maxlat=7)\n \
                    /[0:0:0:0:0:0:0:1]:6000[0](queued=0,recved=1,sent=0)\n\nnonsense\n";
        let [first, second] = connections(cons).try_into().unwrap();
        assert_eq!(first.client, "127.0.0.1:5000");
        assert_eq!(first.session.as_deref(), Some("0x1000"));
        assert_eq!((first.received, first.queued, first.timeout), (5.0, 2.0, Some(10_000.0)));
        assert_eq!((first.last.as_deref(), first.most), (Some("PING"), Some(7.0)));
        assert_eq!(second.session, None);
    }
}
