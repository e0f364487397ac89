//! How agents work together, laid into the graph before anything starts: what a strategy means is tasks and edges, so
//! that one engine runs them all and a person can see them in the plan.
//!
//! `leader_follower` puts a review behind each change of an agent; what needs the change needs the review.
//! `hierarchical` has a parent wait for its parts and integrate them. `consensus` has several candidates do the same
//! task, each in a lane of its own, and lands the one that verifies best. `peer_to_peer` changes nothing: the run's
//! notes are shared anyway. Everything that is put in is a barrier, and shown as one.

use std::collections::BTreeSet;

use crate::{
    core::{
        bisect,
        event::Event,
        execute,
        graph::Graph,
        land::settled,
        plan::{
            file::LEVELS_MAX,
            spec::{Coordination, Effect as Touches, Kind, Part, Plan, Strategy, TaskSpec, Work},
        },
        run::Run,
        state::State,
        task::{Attempt, Settled, Task},
    },
    ids::LaneId,
};

/// How many candidates a task has where agents are to agree.
const CANDIDATES: u32 = 3;

/// The longest name that a task may have.
const NAME_MAX: usize = 40;

/// Rewrites a plan that holds. `proves` says whether a command proves a task's change. What could not be done is
/// answered in words.
pub fn rewrite(plan: &mut Plan, strategy: Strategy, proves: impl Fn(&TaskSpec) -> bool) -> Vec<String> {
    let mut notes = Vec::new();
    if strategy == Strategy::Hierarchical || plan.coordination == Coordination::Hierarchical {
        parts_before_whole(plan);
    }
    match plan.coordination {
        Coordination::PeerToPeer => {}
        Coordination::Hierarchical => owners(plan),
        Coordination::LeaderFollower => reviews(plan),
        Coordination::Consensus => candidates(plan, proves, &mut notes),
    }
    notes
}

/// Whether a task of this plan would be rewritten at all.
fn changes(spec: &TaskSpec) -> bool {
    spec.kind() == Kind::Agent && spec.effect == Touches::Workspace && spec.extras().part.is_none()
}

/// A parent starts when its parts are done, and they start when what the parent needs is done. Below the fifth level
/// parts are kept, as tasks beside each other.
fn parts_before_whole(plan: &mut Plan) {
    let parent = |plan: &Plan, task: usize| plan.tasks[task].extras().parent.map(|parent| parent as usize);
    let own: Vec<Vec<u32>> = plan.tasks.iter().map(|task| task.needs.clone()).collect();
    for part in 0..plan.tasks.len() {
        let Some(whole) = parent(plan, part) else { continue };
        let above = std::iter::successors(Some(whole), |task| parent(plan, *task));
        if above.take(LEVELS_MAX as usize + 1).count() >= LEVELS_MAX as usize {
            continue;
        }
        // Who says that a part needs its whole means it: then the whole does not wait for it.
        let graph = Graph::from_needs(plan.tasks.iter().map(|task| &*task.needs)).unwrap_or_default();
        if graph.descendants(whole as u32).contains(&(part as u32)) {
            continue;
        }
        need(&mut plan.tasks[whole], part as u32);
        for before in &own[whole] {
            let circle = *before == part as u32 || graph.descendants(part as u32).contains(before);
            if !circle {
                need(&mut plan.tasks[part], *before);
            }
        }
    }
}

fn need(task: &mut TaskSpec, before: u32) {
    if !task.needs.contains(&before) {
        task.needs.push(before);
    }
}

/// Parents that agents do integrate their parts; where nothing has parts, one task at the end integrates everything.
fn owners(plan: &mut Plan) {
    let parents: BTreeSet<u32> = plan.tasks.iter().filter_map(|task| task.extras().parent).collect();
    for parent in &parents {
        let parent = &mut plan.tasks[*parent as usize];
        if changes(parent) {
            parent.extras_mut().part = Some(Part::Integrates);
        }
    }
    if !parents.is_empty() || plan.tasks.iter().filter(|task| changes(task)).count() < 2 {
        return;
    }
    let needed: BTreeSet<u32> = plan.tasks.iter().flat_map(|task| task.needs.iter().copied()).collect();
    let prompt = "Others did the parts of this request, each alone. Make one whole of them: what is done twice, what \
                  does not fit together, what was forgotten between them. Change nothing where all is well.";
    let mut whole = TaskSpec::new(&free(plan, "integrate"), Work::Prompt(prompt.to_owned()));
    whole.title = "Make one whole of the parts".into();
    whole.needs = (0..plan.tasks.len() as u32).filter(|task| !needed.contains(task)).collect();
    whole.verify = Some(plan.verify.clone()).filter(|verify| !verify.is_empty()).map(Into::into);
    let extras = whole.extras_mut();
    extras.writes = Some(vec!["**".to_owned()]);
    extras.part = Some(Part::Integrates);
    plan.tasks.push(whole);
}

/// A review stands behind each change of an agent, and before whatever needs the change.
fn reviews(plan: &mut Plan) {
    for follower in 0..plan.tasks.len() as u32 {
        let spec = &plan.tasks[follower as usize];
        if !changes(spec) {
            continue;
        }
        let prompt = format!(
            "You lead. Another agent has done this: {}\n\nRead its change, and what it was to do:\n\n{}\n\nChange \
             nothing. End with one line: `APPROVE`, or `REJECT: ` and why.",
            spec.title(),
            match &spec.work {
                Work::Prompt(prompt) => prompt.as_str(),
                _ => "",
            }
        );
        let mut review = TaskSpec::new(&free(plan, &format!("{}-review", spec.name)), Work::Prompt(prompt));
        review.title = format!("Review: {}", spec.title()).as_str().into();
        review.kind_word = "review".into();
        review.effect = Touches::None;
        review.needs = vec![follower];
        let extras = review.extras_mut();
        extras.writes = Some(Vec::new());
        extras.prefers = vec!["review".to_owned()];
        extras.part = Some(Part::Reviews(follower));
        let at = plan.tasks.len() as u32;
        for task in plan.tasks.iter_mut().filter(|task| task.needs.contains(&follower)) {
            if !matches!(task.extras().part, Some(Part::Reviews(_))) {
                need(task, at);
            }
        }
        plan.tasks.push(review);
    }
}

/// A leader said no: what the follower landed is taken out again. Nothing was built on it, for whatever needs it needs
/// the review.
pub fn refused(state: &State, run: &Run) -> Vec<Event> {
    if run.plan.as_ref().is_none_or(|plan| plan.coordination != Coordination::LeaderFollower) {
        return Vec::new();
    }
    for review in run.tasks.iter().filter_map(|task| state.task(*task)) {
        let Some(Part::Reviews(follower)) = review.spec.extras().part else { continue };
        if review.settled() != Some(Settled::Failed) {
            continue;
        }
        let said = review.attempts.last().and_then(|attempt| Some(attempt.agent()?.end.as_ref()?.said.as_str()));
        let (Some(Some(Err(why))), Some(follower)) = (said.map(verdict), run.tasks.get(follower as usize)) else {
            continue;
        };
        let landed = run.landed.iter().position(|(attempt, _)| attempt.task == *follower);
        let Some(position) = landed else { continue };
        let what = format!("its leader says no ({}): {why}", review.id);
        let note = format!("{follower} was taken out of the result: {what}");
        match bisect::take_out(state, run, position, &what, note) {
            Ok(events) if !events.is_empty() => return events,
            Ok(_) => {}
            Err(outside) => {
                let note = format!("{follower} stays in the result though {what}: {outside}");
                if !run.notes.contains(&note) {
                    return vec![Event::RunNoted { run: run.id, note }];
                }
            }
        }
    }
    Vec::new()
}

/// The task itself becomes the choice among candidates.
fn candidates(plan: &mut Plan, proves: impl Fn(&TaskSpec) -> bool, notes: &mut Vec<String>) {
    for task in 0..plan.tasks.len() as u32 {
        let spec = plan.tasks[task as usize].clone();
        if !changes(&spec) {
            continue;
        }
        if !proves(&spec) {
            notes.push(format!("{}: no command proves it, so there is nothing to choose candidates by", spec.name));
            continue;
        }
        let first = plan.tasks.len() as u32;
        for number in 1..=CANDIDATES {
            let name = free(plan, &format!("{}-{number}", spec.name));
            let mut candidate = TaskSpec { name: name.as_str().into(), ..spec.clone() };
            candidate.title = format!("{} (candidate {number})", spec.title()).as_str().into();
            candidate.extras_mut().part = Some(Part::Candidate(task));
            plan.tasks.push(candidate);
        }
        let choice = &mut plan.tasks[task as usize];
        choice.needs = (first..first + CANDIDATES).collect();
        choice.extras_mut().part = Some(Part::Picks);
    }
}

/// A name that no task has yet.
fn free(plan: &Plan, wanted: &str) -> String {
    let taken = |name: &str| plan.tasks.iter().any(|task| &*task.name == name);
    let cut = |suffix: &str| format!("{}{suffix}", &wanted[..wanted.len().min(NAME_MAX - suffix.len())]);
    let plain = cut("");
    if !taken(&plain) {
        return plain;
    }
    let numbered = (2..).map(|number| cut(&format!("-{number}"))).find(|name| !taken(name));
    numbered.unwrap_or(plain)
}

/// Lands the candidate that verified best, once all of them are over.
pub fn pick(state: &State, run: &Run, task: &Task, lane: Option<LaneId>) -> Vec<Event> {
    let all: Vec<&Task> = candidates_of(state, run, task).collect();
    if all.iter().any(|candidate| candidate.settled().is_none()) {
        return Vec::new();
    }
    let best = all.iter().filter_map(|candidate| Some((candidate, proven(candidate)?)));
    let best = best.min_by_key(|(candidate, (_, attempt))| (score(attempt), candidate.position));
    let Some((candidate, (generation, attempt))) = best else {
        return vec![settled(task, Settled::Failed, "none of its candidates was proven")];
    };
    let (Some(lane), Some(from)) = (lane, attempt.more.as_ref().and_then(|more| more.from.clone())) else {
        return Vec::new();
    };
    let attempt = execute::next_attempt(task);
    let (before, of) = (generation, Some(candidate.id));
    vec![Event::AttemptRelanded { attempt, before, of, lane, from }]
}

/// The candidates that a task chooses among.
fn candidates_of<'a>(state: &'a State, run: &'a Run, task: &'a Task) -> impl Iterator<Item = &'a Task> {
    let of_it = move |other: &&Task| other.spec.extras().part == Some(Part::Candidate(task.position));
    run.tasks.iter().filter_map(|task| state.task(*task)).filter(of_it)
}

/// The attempt that proved a candidate and changed something.
fn proven(candidate: &Task) -> Option<(u32, &Attempt)> {
    let attempt = candidate.attempts.last().filter(|_| candidate.settled() == Some(Settled::Completed))?;
    let more = attempt.more.as_ref()?;
    (more.commit.is_some() && more.commit != more.from).then_some((candidate.attempts.len() as u32, attempt))
}

/// Lower is better: tests that still fail, then the size of the change.
fn score(attempt: &Attempt) -> (usize, u32) {
    let Some(more) = &attempt.more else { return (usize::MAX, u32::MAX) };
    let red = more.checks.iter().map(|check| check.failures.len() + usize::from(!check.passed())).sum();
    (red, more.diff.map_or(u32::MAX, |diff| diff.insertions + diff.deletions))
}

/// What a leader says of a change, by its last line; `None` = neither.
pub fn verdict(said: &str) -> Option<Result<(), String>> {
    let last =
        said.lines().rev().map(|line| line.trim().trim_matches(['*', '`', '#', ' '])).find(|line| !line.is_empty())?;
    match last.split_once([':', ' ']).map_or((last, ""), |(word, rest)| (word, rest.trim())) {
        ("APPROVE" | "APPROVED", _) => Some(Ok(())),
        ("REJECT" | "REJECTED", "") => Some(Err("it is rejected".to_owned())),
        ("REJECT" | "REJECTED", why) => Some(Err(why.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn agent(name: &str, needs: &[u32], parent: Option<u32>) -> TaskSpec {
        let mut spec = TaskSpec::new(name, Work::Prompt(format!("do {name}")));
        spec.needs = needs.to_vec();
        spec.extras_mut().parent = parent;
        spec.extras_mut().writes = Some(vec![format!("{name}.txt")]);
        spec
    }

    #[track_caller]
    fn check(strategy: Strategy, coordination: Coordination, tasks: Vec<TaskSpec>, expected: Expect) {
        let mut plan = Plan { coordination, tasks, ..Plan::default() };
        let notes = rewrite(&mut plan, strategy, |spec| &*spec.name != "unproven");
        let name = |task: &u32| plan.tasks[*task as usize].name.to_string();
        let mut text = String::new();
        for task in &plan.tasks {
            let needs: Vec<String> = task.needs.iter().map(name).collect();
            let part = task.extras().part.map_or(String::new(), |part| format!(" {part:?}"));
            text.push_str(&format!("{} <- [{}]{part}\n", task.name, needs.join(" ")));
        }
        notes.iter().for_each(|note| text.push_str(&format!("! {note}\n")));
        expected.assert_eq(&text);
        assert!(Graph::from_needs(plan.tasks.iter().map(|task| &*task.needs)).is_ok(), "it goes in circles");
    }

    #[test]
    fn peers_change_nothing() {
        let tasks = vec![agent("a", &[], None), agent("b", &[0], None)];
        check(
            Strategy::Adaptive,
            Coordination::PeerToPeer,
            tasks,
            expect![[r#"
            a <- []
            b <- [a]
        "#]],
        );
    }

    #[test]
    fn a_leader_reviews_each_follower_before_anything_builds_on_it() {
        let shell = TaskSpec { needs: vec![0], ..TaskSpec::new("shell", Work::Run("true".into())) };
        let tasks = vec![agent("a", &[], None), agent("b", &[0], None), shell];
        check(
            Strategy::Adaptive,
            Coordination::LeaderFollower,
            tasks,
            expect![[r#"
            a <- []
            b <- [a a-review]
            shell <- [a a-review]
            a-review <- [a] Reviews(0)
            b-review <- [b] Reviews(1)
        "#]],
        );
    }

    #[test]
    fn a_whole_waits_for_its_parts_and_they_for_what_it_needs() {
        let tasks = vec![
            agent("schema", &[], None),
            agent("auth", &[0], None),
            agent("tokens", &[], Some(1)),
            agent("login", &[2], Some(1)),
            agent("form", &[], Some(3)),
        ];
        check(
            Strategy::Hierarchical,
            Coordination::PeerToPeer,
            tasks.clone(),
            expect![[r#"
            schema <- []
            auth <- [schema tokens login]
            tokens <- [schema]
            login <- [tokens schema form]
            form <- [tokens]
        "#]],
        );
        check(
            Strategy::Adaptive,
            Coordination::Hierarchical,
            tasks,
            expect![[r#"
            schema <- []
            auth <- [schema tokens login] Integrates
            tokens <- [schema]
            login <- [tokens schema form] Integrates
            form <- [tokens]
        "#]],
        );
    }

    #[test]
    fn a_part_that_needs_its_whole_makes_no_circle_and_the_sixth_level_stands_beside() {
        let tasks = vec![agent("whole", &[], None), agent("after", &[0], Some(0))];
        check(
            Strategy::Hierarchical,
            Coordination::PeerToPeer,
            tasks,
            expect![[r#"
            whole <- []
            after <- [whole]
        "#]],
        );
        let level = |number: u32| agent(&format!("l{number}"), &[], number.checked_sub(1));
        check(
            Strategy::Hierarchical,
            Coordination::PeerToPeer,
            (0..7).map(level).collect(),
            expect![[r#"
            l0 <- [l1]
            l1 <- [l2]
            l2 <- [l3]
            l3 <- [l4]
            l4 <- []
            l5 <- []
            l6 <- []
        "#]],
        );
    }

    #[test]
    fn without_parts_one_task_at_the_end_makes_a_whole() {
        let tasks = vec![agent("a", &[], None), agent("integrate", &[], None), agent("c", &[0], None)];
        check(
            Strategy::Adaptive,
            Coordination::Hierarchical,
            tasks,
            expect![[r#"
            a <- []
            integrate <- []
            c <- [a]
            integrate-2 <- [integrate c] Integrates
        "#]],
        );
    }

    #[test]
    fn candidates_do_the_same_and_the_task_chooses() {
        let tasks = vec![agent("a", &[], None), agent("unproven", &[0], None)];
        check(
            Strategy::Adaptive,
            Coordination::Consensus,
            tasks,
            expect![[r#"
            a <- [a-1 a-2 a-3] Picks
            unproven <- [a]
            a-1 <- [] Candidate(0)
            a-2 <- [] Candidate(0)
            a-3 <- [] Candidate(0)
            ! unproven: no command proves it, so there is nothing to choose candidates by
        "#]],
        );
    }

    #[test]
    fn a_verdict_is_the_last_line() {
        assert_eq!(verdict("All is well.\n\n**APPROVE**\n"), Some(Ok(())));
        assert_eq!(verdict("Hm.\nREJECT: the sign is wrong"), Some(Err("the sign is wrong".to_owned())));
        assert_eq!(verdict("I would APPROVE this"), None);
        assert_eq!(verdict(""), None);
    }
}
