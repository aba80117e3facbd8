//! What is asked of a server so that it sends exactly what comes next.

use super::{
    LiveStart,
    connect::{Session, within},
    failure::{BEHIND_HINT, DropReason, Failure, Stage},
    progress::Delivered,
};
use crate::model::{Gtid, GtidSet, GtidSource};
use mysql_async::{BinlogStream, BinlogStreamRequest, Sid};

/// Nanoseconds after which a server that has nothing to send says so.
const HEARTBEAT_NANOS: u64 = 1_000_000_000;

/// Seconds that a server waits for us to take what it sends. The reader of a stream that is ahead
/// waits for the others, and the default of 60 would end many a connection in the meantime.
const WRITE_SECONDS: u32 = 600;

/// How often a consistent baseline is asked of a MariaDB server that commits meanwhile.
const SNAPSHOT_TRIES: usize = 1000;

/// From where a server shall send.
pub(super) enum Request {
    /// What is not in this set (MySQL).
    NotIn(GtidSet),
    /// What follows these GTIDs, one per domain (MariaDB).
    After(Vec<Gtid>),
    /// A file, from its head; an empty name is the oldest.
    File(String),
    /// A file, from this offset.
    At(String, u32),
}

impl Request {
    /// The GTIDs after which the server shall send, as it writes them; `None` where it is asked for
    /// a place, or for all that it has.
    pub(super) fn after(&self) -> Option<String> {
        let text = match self {
            Request::NotIn(set) => set.to_string(),
            Request::After(gtids) => {
                gtids.iter().map(Gtid::to_string).collect::<Vec<_>>().join(",")
            }
            Request::File(_) | Request::At(..) => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

impl Session<'_> {
    /// Says what comes next, and takes a baseline where the stream begins now.
    pub(super) async fn plan(
        &mut self,
        start: &LiveStart,
        mariadb: bool,
        delivered: &mut Delivered,
    ) -> Result<Request, Failure> {
        delivered.restart();
        if delivered.set.is_some() {
            match mariadb {
                true => self.ensure_holds(delivered).await?,
                false => self.ensure_executed(delivered).await?,
            }
        }
        if delivered.set.is_none() {
            match start {
                LiveStart::Now if mariadb => self.snapshot_mariadb(delivered).await?,
                LiveStart::Now => {
                    // Read once: the dump sends what is not in it, so nothing falls in between.
                    let executed = self.set_of("SELECT @@GLOBAL.gtid_executed").await?;
                    delivered.begin(executed);
                }
                LiveStart::Earliest | LiveStart::At { .. } | LiveStart::Resume(_) => {
                    if !mariadb {
                        delivered.purged = self.purged().await?;
                    }
                    return Ok(Request::File(match start {
                        LiveStart::At { file, .. } => file.clone(),
                        _ => String::new(),
                    }));
                }
            }
        }
        if mariadb {
            return Ok(Request::After(delivered.positions.values().copied().collect()));
        }
        let mut set = delivered.set.clone().unwrap_or_default();
        set.extend(&delivered.purged);
        Ok(Request::NotIn(set))
    }

    /// Takes the baseline of a MariaDB server and the position that belongs to it.
    ///
    /// `gtid_slave_pos` names what was applied and perhaps not logged. It is read first: read
    /// later, it could name a transaction that the stream is still to show. Position and state of
    /// the log are two variables, and a commit may come between; it would be in the baseline and
    /// in the stream, or in neither. So the position is read before and after the state, in one
    /// expression, until it has not moved.
    async fn snapshot_mariadb(&mut self, delivered: &mut Delivered) -> Result<(), Failure> {
        let mut baseline = self.set_of("SELECT @@GLOBAL.gtid_slave_pos").await?;
        for _ in 0..SNAPSHOT_TRIES {
            let snapshot = self
                .value(
                    "SELECT CONCAT_WS(';', @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_binlog_state, \
                     @@GLOBAL.gtid_binlog_pos)",
                )
                .await?;
            let parts: Vec<&str> = snapshot.split(';').collect();
            let [before, state, after] = parts.as_slice() else { continue };
            if before != after {
                continue;
            }
            let (position, state) = (self.parse(before)?, self.parse(state)?);
            if !position.minus(&state).is_empty() {
                continue;
            }
            for (source, ranges) in position.iter() {
                if let (GtidSource::MariaDb { domain, server_id }, Some(last)) =
                    (*source, ranges.last())
                {
                    delivered.take_positions(&[(domain, server_id, last.1)]);
                }
            }
            baseline.extend(&state);
            delivered.begin(baseline);
            return Ok(());
        }
        let hint = "it is asked again; or start this node at coordinates (SHOW MASTER STATUS)";
        let problem = "the server commits too fast to read position and state of its log";
        Err(Failure::new(self.options, DropReason::Server, problem, hint))
    }

    /// Refuses a MariaDB server that does not know what it had sent. It would not refuse us: where
    /// it has nothing in a domain, it passes over all that comes there up to our position, and
    /// says nothing.
    async fn ensure_holds(&mut self, delivered: &Delivered) -> Result<(), Failure> {
        let state = self.set_of("SELECT @@GLOBAL.gtid_binlog_state").await?;
        match delivered.positions.values().find(|gtid| !state.contains(gtid)) {
            None => Ok(()),
            Some(lost) => {
                let problem = format!("the server had sent {lost}, and its log no longer has it");
                Err(Failure::new(self.options, DropReason::Behind, problem, BEHIND_HINT))
            }
        }
    }

    /// The same of a MySQL server. It refuses a replica that has more of its own numbers, not one
    /// that has more of others'.
    async fn ensure_executed(&mut self, delivered: &Delivered) -> Result<(), Failure> {
        let executed = self.set_of("SELECT @@GLOBAL.gtid_executed").await?;
        let lost = delivered.set.as_ref().map_or_else(GtidSet::default, |set| set.minus(&executed));
        if lost.is_empty() {
            return Ok(());
        }
        let problem = format!("the server had {lost}, and now has not");
        Err(Failure::new(self.options, DropReason::Behind, problem, BEHIND_HINT))
    }

    /// What a MySQL server does not have any more.
    pub(super) async fn purged(&mut self) -> Result<GtidSet, Failure> {
        self.set_of("SELECT @@GLOBAL.gtid_purged").await
    }

    /// What the server has logged, or on MySQL executed, by now.
    pub(super) async fn logged(&mut self, mariadb: bool) -> Result<GtidSet, Failure> {
        self.set_of(match mariadb {
            true => "SELECT @@GLOBAL.gtid_binlog_state",
            false => "SELECT @@GLOBAL.gtid_executed",
        })
        .await
    }

    async fn set_of(&mut self, statement: &str) -> Result<GtidSet, Failure> {
        let text = self.value(statement).await?;
        self.parse(&text)
    }

    fn parse(&self, text: &str) -> Result<GtidSet, Failure> {
        text.parse().map_err(|error: crate::model::ParseGtidError| {
            let hint = "please report this, with the server's version";
            Failure::new(self.options, DropReason::Protocol, error.to_string(), hint)
        })
    }

    /// Makes this connection a stream, of a replica of that name.
    pub(super) async fn dump(
        mut self,
        request: &Request,
        mariadb: bool,
        name: &str,
    ) -> Result<BinlogStream, Failure> {
        let mut sets = vec![format!("@master_heartbeat_period = {HEARTBEAT_NANOS}")];
        match mariadb {
            true => sets.push("@mariadb_slave_capability = 4".to_owned()),
            // The client library sets `@master_binlog_checksum` itself.
            false => sets.extend([
                format!("@source_heartbeat_period = {HEARTBEAT_NANOS}"),
                "@source_binlog_checksum = 'CRC32'".to_owned(),
            ]),
        }
        if let Request::After(positions) = request {
            let state: Vec<String> = positions.iter().map(Gtid::to_string).collect();
            sets.push(format!("@slave_connect_state = '{}'", state.join(",")));
            sets.push("@slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0".to_owned());
        }
        sets.push(format!("SESSION net_write_timeout = {WRITE_SECONDS}"));
        self.set(&format!("SET {}", sets.join(", "))).await?;
        let Session { options, conn, peer } = self;
        let sids = match request {
            Request::NotIn(set) => sids(set),
            _ => Vec::new(),
        };
        let mut dump =
            BinlogStreamRequest::new(options.replica_server_id).with_hostname(name.as_bytes());
        match request {
            Request::NotIn(_) => dump = dump.with_gtid().with_gtid_set(sids),
            Request::File(file) => dump = dump.with_filename(file.as_bytes()),
            Request::At(file, offset) => {
                dump = dump.with_filename(file.as_bytes()).with_pos((*offset).into());
            }
            Request::After(_) => {}
        }
        let stream = within(options, "no answer", conn.get_binlog_stream(dump)).await?;
        stream.map_err(|error| Failure::from_client(options, Stage::Streaming, &peer, &error))
    }
}

/// A set in the client library's words.
fn sids(set: &GtidSet) -> Vec<Sid<'static>> {
    let text = |(source, ranges): (&GtidSource, &[(u64, u64)])| {
        let ranges: Vec<String> = ranges.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        format!("{source}:{}", ranges.join(":"))
    };
    set.iter().filter_map(|member| text(member).parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_is_asked_for_is_told_in_its_words() {
        let gtids = |text: &str| -> Vec<Gtid> {
            let set: GtidSet = text.parse().unwrap();
            let last = |(source, ranges): (&GtidSource, &[(u64, u64)])| Gtid {
                source: *source,
                sequence: ranges.last().unwrap().1,
            };
            set.iter().map(last).collect()
        };
        assert_eq!(Request::After(gtids("0-1-5,3-2-9")).after().unwrap(), "0-1-5,3-2-9");
        let set = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-4:6";
        assert_eq!(Request::NotIn(set.parse().unwrap()).after().unwrap(), set);
        assert_eq!(Request::After(Vec::new()).after(), None);
        assert_eq!(Request::At("a-bin.000001".to_owned(), 4).after(), None);
    }

    #[test]
    fn sets_reach_the_client_library_whole() {
        let set: GtidSet = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1-4:6:tag:1-2".parse().unwrap();
        let sids = sids(&set);
        let ranges = |sid: &Sid<'_>| -> Vec<(u64, u64)> {
            sid.intervals().iter().map(|range| (range.start(), range.end())).collect()
        };
        assert_eq!(sids.len(), 2);
        assert_eq!(ranges(&sids[0]), [(1, 5), (6, 7)]);
        assert_eq!(ranges(&sids[1]), [(1, 3)]);
        assert!(sids[0].tag().is_none() && sids[1].tag().is_some());
    }
}
