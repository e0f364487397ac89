//! A toy keeper: it knows each job by its id, starts it at most once, writes down that it starts before it does, and
//! outlives the daemon. When it dies, what ran is killed, and only what it wrote down is left.

use std::collections::BTreeMap;

use orchestrator::{
    core::job::{JobId, JobOrder, JobResult},
    ids::{LaneId, RunId},
};

/// Where a job stands.
pub enum Standing {
    Queued,
    Running,
    Ended(JobResult),
}

pub struct Job {
    pub order: JobOrder,
    pub standing: Standing,
    /// Somebody wants it to end.
    pub stop: bool,
}

#[derive(Default)]
pub struct Keeper {
    pub jobs: BTreeMap<JobId, Job>,
    queue: Vec<JobId>,
    pub limits: BTreeMap<RunId, u32>,
}

impl Keeper {
    /// Takes an order. `Some` = it is over already, this is how.
    pub fn order(&mut self, order: &JobOrder) -> Option<JobResult> {
        if let Some(known) = self.jobs.get(&order.id) {
            assert_eq!(known.order, *order, "one job id, two jobs");
            return match &known.standing {
                Standing::Ended(result) => Some(result.clone()),
                Standing::Queued | Standing::Running => None,
            };
        }
        self.jobs.insert(order.id, Job { order: order.clone(), standing: Standing::Queued, stop: false });
        self.queue.push(order.id);
        None
    }

    /// Jobs that may begin now; they run from here on.
    pub fn begin(&mut self) -> Vec<JobId> {
        let mut begun = Vec::new();
        for id in std::mem::take(&mut self.queue) {
            let run = self.jobs[&id].order.run;
            let limit = self.limits.get(&run).copied().unwrap_or(1) as usize;
            if self.running().filter(|job| job.order.run == run).count() < limit {
                self.jobs.get_mut(&id).expect("it was queued").standing = Standing::Running;
                begun.push(id);
            } else {
                self.queue.push(id);
            }
        }
        begun
    }

    pub fn running(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().filter(|job| matches!(job.standing, Standing::Running))
    }

    pub fn in_lane(&self, lane: LaneId) -> Option<JobId> {
        self.running().find(|job| job.order.lane == lane).map(|job| job.order.id)
    }

    pub fn end(&mut self, id: JobId, result: JobResult) {
        self.queue.retain(|queued| *queued != id);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.standing = Standing::Ended(result);
        }
    }

    /// It dies: what ran is returned, for its end is to be written down by its successor; what was queued is forgotten.
    pub fn die(&mut self) -> Vec<JobId> {
        for id in std::mem::take(&mut self.queue) {
            self.jobs.remove(&id);
        }
        self.running().map(|job| job.order.id).collect()
    }
}
