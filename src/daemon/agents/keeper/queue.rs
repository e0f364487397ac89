//! Who may start next: a first-in-first-out queue per group, each with its own limit. Pure; starts nothing.

use std::collections::{BTreeMap, VecDeque};

struct Group<T> {
    slots: u32,
    running: u32,
    waiting: VecDeque<(String, T)>,
}

/// The waiting jobs of all groups. `T` is whatever belongs to a job.
pub(super) struct Queue<T> {
    groups: BTreeMap<u32, Group<T>>,
    default_slots: u32,
    running: usize,
    running_max: usize,
    waiting: usize,
}

impl<T> Queue<T> {
    /// `default_slots` holds for groups without a limit of their own, `running_max` for all groups together.
    pub(super) fn new(default_slots: u32, running_max: usize) -> Queue<T> {
        Queue { groups: BTreeMap::new(), default_slots, running: 0, running_max, waiting: 0 }
    }

    fn group(&mut self, id: u32) -> &mut Group<T> {
        let slots = self.default_slots;
        self.groups.entry(id).or_insert_with(|| Group { slots, running: 0, waiting: VecDeque::new() })
    }

    pub(super) fn limit(&mut self, group: u32, slots: u32) {
        self.group(group).slots = slots;
    }

    pub(super) fn push(&mut self, group: u32, id: String, job: T) {
        self.group(group).waiting.push_back((id, job));
        self.waiting += 1;
    }

    /// Takes the next job that may start and counts it as running. Groups take turns.
    pub(super) fn take(&mut self) -> Option<T> {
        if self.running >= self.running_max || self.waiting == 0 {
            return None;
        }
        let ready = |group: &&mut Group<T>| group.running < group.slots && !group.waiting.is_empty();
        // The group with the fewest running jobs, so that a run with a high limit does not starve another when
        // `running_max` binds.
        let group = self.groups.values_mut().filter(ready).min_by_key(|group| group.running)?;
        let (_, job) = group.waiting.pop_front()?;
        group.running += 1;
        self.running += 1;
        self.waiting -= 1;
        Some(job)
    }

    /// A job of this group is over.
    pub(super) fn release(&mut self, group: u32) {
        self.group(group).running -= 1;
        self.running -= 1;
    }

    /// Takes a job out of the queue, if it waits there.
    pub(super) fn remove(&mut self, group: u32, id: &str) -> Option<T> {
        let waiting = &mut self.groups.get_mut(&group)?.waiting;
        let at = waiting.iter().position(|(other, _)| other == id)?;
        self.waiting -= 1;
        waiting.remove(at).map(|(_, job)| job)
    }

    /// Takes every job out of the queue.
    pub(super) fn clear(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.groups.values_mut().flat_map(|group| group.waiting.drain(..)).map(|(_, job)| job).collect()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.groups.values().flat_map(|group| &group.waiting).map(|(id, _)| id.as_str())
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(running_max: usize) -> Queue<&'static str> {
        let mut queue = Queue::new(1, running_max);
        for (group, job) in [(1, "a"), (1, "b"), (1, "c"), (2, "x"), (2, "y")] {
            queue.push(group, job.to_owned(), job);
        }
        queue
    }

    fn all<T>(queue: &mut Queue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn limits_hold_and_order_is_kept() {
        let mut queue = queue(100);
        queue.limit(1, 2);
        assert_eq!(all(&mut queue), ["a", "x", "b"]);
        queue.release(1);
        assert_eq!(all(&mut queue), ["c"]);
        queue.limit(2, 0);
        queue.release(2);
        assert_eq!(queue.take(), None);
        assert_eq!(queue.waiting().collect::<Vec<_>>(), ["y"]);
        queue.limit(2, 1);
        assert_eq!(queue.take(), Some("y"));
    }

    #[test]
    fn the_common_limit_is_shared_out_in_turns() {
        let mut queue = queue(2);
        queue.limit(1, 9);
        assert_eq!(all(&mut queue), ["a", "x"]);
    }

    #[test]
    fn jobs_leave_the_queue_on_request() {
        let mut queue = queue(100);
        assert_eq!(queue.remove(1, "b"), Some("b"));
        assert_eq!(queue.remove(1, "b"), None);
        assert_eq!(queue.remove(7, "b"), None);
        assert_eq!(queue.take(), Some("a"));
        assert_eq!(queue.clear(), ["c", "x", "y"]);
        assert!(!queue.is_idle());
        queue.release(1);
        assert!(queue.is_idle());
    }
}
