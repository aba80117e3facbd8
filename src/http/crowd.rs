//! Who is connected, and who has to go when there is no room.
//!
//! A newcomer always gets in: what goes is the connection that has been quiet the longest, of the
//! address that has the most. So a program that asks and takes its answer at once gets through
//! however many others hold connections and do nothing with them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Connections in all; each may hold an answer of some 100 KB.
pub(super) const ALL_MAX: usize = 256;
/// Connections of one address, which may be a proxy.
pub(super) const PEER_MAX: usize = 64;

/// Everybody who is connected.
#[derive(Default)]
pub(super) struct Crowd {
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    guests: BTreeMap<u64, Known>,
    /// Counts up with everything that a guest does: who has the smallest is quiet the longest.
    moves: u64,
    next: u64,
}

struct Known {
    peer: IpAddr,
    moved: u64,
    leave: Arc<Notify>,
}

/// One connection; it is forgotten when this is dropped.
pub(super) struct Guest {
    number: u64,
    crowd: Arc<Crowd>,
    leave: Arc<Notify>,
}

impl Crowd {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a newcomer in, and shows somebody out where there is no room.
    pub(super) fn admit(self: &Arc<Crowd>, peer: IpAddr) -> Guest {
        let peer = who(peer);
        let mut inside = self.inside();
        inside.make_room(peer);
        let (number, moved) = (inside.next, inside.moves);
        (inside.next, inside.moves) = (number + 1, moved + 1);
        let leave = Arc::<Notify>::default();
        inside.guests.insert(number, Known { peer, moved, leave: leave.clone() });
        Guest { number, crowd: self.clone(), leave }
    }
}

impl Inside {
    fn make_room(&mut self, newcomer: IpAddr) {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for known in self.guests.values() {
            *counts.entry(known.peer).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let has_all_it_may = counts.get(&newcomer).is_some_and(|count| *count >= PEER_MAX);
        if !has_all_it_may && self.guests.len() < ALL_MAX {
            return;
        }
        let gives_way = |peer: &IpAddr| match has_all_it_may {
            true => *peer == newcomer,
            false => counts[peer] == most,
        };
        let crowded = self.guests.iter().filter(|(_, known)| gives_way(&known.peer));
        let quietest = crowded.min_by_key(|(_, known)| known.moved);
        if let Some(number) = quietest.map(|(number, _)| *number)
            && let Some(known) = self.guests.remove(&number)
        {
            known.leave.notify_one();
        }
    }
}

impl Guest {
    /// It asked for something, or has its answer.
    pub(super) fn moved(&self) {
        let mut inside = self.crowd.inside();
        let moved = inside.moves;
        inside.moves += 1;
        if let Some(known) = inside.guests.get_mut(&self.number) {
            known.moved = moved;
        }
    }

    /// Waits until it has to go.
    pub(super) async fn has_to_go(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.crowd.inside().guests.remove(&self.number);
    }
}

/// Whose an address is: who has one IPv6 address has a whole /64 of them.
fn who(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn gone(guests: &[Guest]) -> Vec<u64> {
        let gone = guests.iter().filter(|guest| guest.has_to_go().now_or_never().is_some());
        gone.map(|guest| guest.number).collect()
    }

    #[test]
    fn the_quietest_of_a_crowded_address_goes() {
        let crowd = Arc::<Crowd>::default();
        let first: Vec<Guest> = (0..PEER_MAX).map(|_| crowd.admit(peer(1))).collect();
        assert_eq!(gone(&first), [0; 0]);
        first[0].moved();
        let other = crowd.admit(peer(2));
        assert_eq!(gone(&first), [0; 0], "another address has room of its own");
        let newcomer = crowd.admit(peer(1));
        assert_eq!(gone(&first), [1]);
        let more: Vec<Guest> =
            (0..PEER_MAX - 1).map(|_| crowd.admit(peer(1))).chain([newcomer, other]).collect();
        assert_eq!(gone(&first).len(), PEER_MAX - 1);
        assert_eq!(gone(&more), [0; 0]);
    }

    #[test]
    fn in_a_full_house_the_address_with_the_most_gives_way() {
        let crowd = Arc::<Crowd>::default();
        let honest = vec![crowd.admit(peer(0))];
        let mut hostile: Vec<Guest> = Vec::new();
        for number in 0..10 * ALL_MAX {
            hostile.push(crowd.admit(peer((1 + number % 200) as u8)));
        }
        assert_eq!(gone(&honest), [0; 0], "one address of many connections gives way first");
        assert!(crowd.inside().guests.len() <= ALL_MAX);
        drop(hostile);
        assert_eq!(crowd.inside().guests.len(), 1);
    }

    #[test]
    fn a_network_of_one_is_one() {
        let of = |text: &str| who(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:3::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), peer(1));
    }
}
