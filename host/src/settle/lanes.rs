//! Lanes: parts of what was polled that are consumed at the same time. A partition is in one lane, so its events keep their order.

use std::collections::BTreeMap;

use crate::ports::queue::Delivery;

/// Divides what was polled into at most `lanes` parts, none of them empty: the longest partition first, each to the shortest lane.
pub(super) fn divide(polled: Vec<Delivery>, lanes: usize) -> Vec<Vec<Delivery>> {
    if lanes <= 1 {
        return Some(polled).filter(|polled| !polled.is_empty()).into_iter().collect();
    }
    let mut by_partition: BTreeMap<u32, Vec<Delivery>> = BTreeMap::new();
    for delivery in polled {
        by_partition.entry(delivery.partition).or_default().push(delivery);
    }
    let mut partitions: Vec<Vec<Delivery>> = by_partition.into_values().collect();
    partitions.sort_by_key(|events| std::cmp::Reverse(events.len()));
    let mut divided: Vec<Vec<Delivery>> = vec![Vec::new(); lanes.min(partitions.len())];
    for events in partitions {
        if let Some(shortest) = divided.iter_mut().min_by_key(|lane| lane.len()) {
            shortest.extend(events);
        }
    }
    divided.retain(|lane| !lane.is_empty());
    divided
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Event, EventId};

    fn delivery(partition: u32, offset: u64) -> Delivery {
        let event = Event {
            event_id: EventId::new("e").unwrap(),
            topic: "t".into(),
            key: "k".into(),
            room_id: None,
            at_ms: 1,
            held: None,
            payload: bytes::Bytes::new(),
        };
        Delivery { partition, offset, event: Arc::new(event), fault: None }
    }

    fn divided(lens: &[u64], lanes: usize) -> Vec<Vec<(u32, u64)>> {
        let polled = (0..10).flat_map(|offset| {
            let longer = (0_u32..).zip(lens).filter(move |(_, len)| offset < **len);
            longer.map(move |(partition, _)| delivery(partition, offset))
        });
        let lanes = divide(polled.collect(), lanes).into_iter();
        lanes.map(|lane| lane.iter().map(|d| (d.partition, d.offset)).collect()).collect()
    }

    #[test]
    fn every_partition_is_in_one_lane_in_its_order_and_nothing_is_lost() {
        for lanes in 1..6 {
            let divided = divided(&[5, 1, 3, 9], lanes);
            assert_eq!(divided.len(), lanes.min(4));
            assert_eq!(divided.iter().map(Vec::len).sum::<usize>(), 18);
            for partition in 0..4 {
                let of_it =
                    |lane: &Vec<(u32, u64)>| lane.iter().filter(|d| d.0 == partition).copied().collect::<Vec<_>>();
                let parts: Vec<_> = divided.iter().map(of_it).filter(|part| !part.is_empty()).collect();
                assert!(parts.len() == 1 && parts[0].is_sorted(), "{partition}: {parts:?}");
            }
        }
    }

    #[test]
    fn lanes_are_about_as_long_as_each_other_and_nothing_makes_none() {
        let lens: Vec<usize> = divided(&[9, 4, 3, 2], 2).iter().map(Vec::len).collect();
        assert_eq!(lens, [9, 9]);
        assert!(divided(&[], 3).is_empty());
    }
}
