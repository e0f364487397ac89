//! What other rules or another threshold would have said: named from the journal alone, and nothing where nothing changed.

use std::sync::Arc;

use orchestrator::{
    core::{
        Event, Settings,
        decide::{
            gate::Place,
            hindsight::{Hindsight, Turned, Way},
            policy::{Policy, Source, Tier},
        },
    },
    ids::LaneId,
};

use super::{autonomy::hundred, script::Script};

/// What would be turned of all that a script's journal has; and how many decisions were looked at.
fn turned(script: &Script, settings: &Settings) -> (u64, Vec<Turned>) {
    let (cwd, root) = ("/lane".to_owned(), "/lane".to_owned());
    let place = move |_: LaneId| Place { cwd: cwd.clone(), root: root.clone(), lane: true, ..Place::default() };
    let mut hindsight = Hindsight::new(settings, &place);
    for (at, stored) in &script.core.journal {
        let events: Vec<Event> = serde_json::from_slice(stored).expect("events");
        events.into_iter().for_each(|event| hindsight.take(*at, event));
    }
    (hindsight.looked, hindsight.turned)
}

fn with(script: &Script, rules: &str) -> Settings {
    let mut settings = script.core.settings.clone();
    let own = Source { tier: Tier::User, file: "policy.toml", text: rules };
    settings.rules.policy = Arc::new(Policy::load(&[own]).expect("a policy"));
    settings
}

#[test]
fn a_hundred_asks_are_judged_again_as_they_were() {
    let (script, _) = hundred();
    let (looked, none) = turned(&script, &script.core.settings);
    assert_eq!((looked, none), (100, Vec::new()), "nothing has changed, so nothing is turned");
    // Another file with nothing in it: another version, so all are judged anew, and all the same.
    assert_eq!(turned(&script, &with(&script, "version = 1\n")), (100, Vec::new()));
}

#[test]
fn a_rule_turns_what_it_is_about_and_nothing_else() {
    let (script, _) = hundred();
    let rules = "version = 1\n[[rules]]\nid = \"no-make\"\nwhen = \"command.program == 'make'\"\nverdict = \"deny\"\n\
                 [[rules]]\nid = \"ask-edits\"\nwhen = \"tool.name == 'Edit' and command.paths == []\"\nverdict = \"escalate\"\n";
    let (looked, found) = turned(&script, &with(&script, rules));
    assert_eq!(looked, 100);
    let made: Vec<&Turned> = found.iter().filter(|turned| turned.rules_hit == ["no-make"]).collect();
    assert_eq!(made.len(), 3, "{found:#?}");
    for turned in made {
        assert!(turned.what.starts_with("Bash: make "), "{turned:?}");
        assert_eq!((turned.was.way, turned.would.way), (Way::Allowed, Way::Refused), "{turned:?}");
        assert_eq!(turned.would.by, "gate");
    }
    assert!(found.iter().all(|turned| turned.rules_hit[0] == "no-make"), "{found:#?}");
}

#[test]
fn a_threshold_turns_what_was_sure_and_what_was_not() {
    let mut script = Script::new();
    script.play("set agents=ada\nsubmit | a agent writes=src verify=unit\nauto hold=T-1.1");
    script.core.settings.decisions.probation = false;
    script.core.settings.decisions.audit = 0.0;
    script.core.settings.decisions.threshold = 0.98;
    for number in 0..120 {
        // One habit is as good as sure; of the other the person thinks better now and then.
        let (line, choice) = match number % 2 {
            0 => ("cargo test", "allow"),
            _ => ("npm run", if number % 16 == 5 { "deny" } else { "allow" }),
        };
        script.play(&format!("said T-1.1 wants r{number} Bash | {line} m{number}"));
        let open: Vec<_> = script.core.state.index.open.iter().copied().collect();
        open.iter().for_each(|decision| script.play(&format!("answer {decision} {choice}")));
    }
    let at = |threshold: f64| {
        let mut settings = script.core.settings.clone();
        settings.decisions.threshold = threshold;
        turned(&script, &settings).1
    };
    assert!(at(0.98).is_empty(), "the threshold in force turns nothing");
    let bolder = at(0.8);
    assert!(!bolder.is_empty(), "less sure is sure enough for some");
    assert!(
        bolder.iter().all(|turned| turned.was.way == Way::Asked && turned.would.way == Way::Allowed),
        "{bolder:#?}"
    );
    assert!(bolder.iter().all(|turned| turned.decision.is_some() && turned.would.by == "learned"));
    let never = at(1.0);
    assert!(!never.is_empty(), "nothing is as sure as that");
    assert!(never.iter().all(|turned| turned.was.way == Way::Allowed && turned.would.way == Way::Asked), "{never:#?}");
}

#[test]
fn the_start_of_a_task_is_looked_at_too() {
    let mut script = Script::new();
    script.play("submit | ship ext type=deployment env=staging\nanswer D-1 allow\nquiet auto");
    let rules = "version = 1\n[[rules]]\nid = \"no-ship\"\nwhen = \"task.type == 'deployment'\"\nverdict = \"deny\"\n";
    let (looked, found) = turned(&script, &with(&script, rules));
    assert_eq!((looked, found.len()), (1, 1), "{found:#?}");
    assert_eq!((found[0].was.way, found[0].would.way), (Way::Asked, Way::Refused));
    assert_eq!(found[0].decision.map(|id| id.to_string()).as_deref(), Some("D-1"));
    assert_eq!(turned(&script, &script.core.settings).1, Vec::new());
}
