//! What the gate needs from outside the core: the policy files of this machine, user and workspace, and where paths
//! really lead.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    config::Places,
    core::{
        Settings,
        decide::{
            cache::{self, Looking, Verdicts},
            gate::{self, Ask, Judgement, Links, Place, Verdict},
            policy::{Known, Policy, PolicyError, Source, Tier},
        },
        settings::Rules,
    },
};

/// The machine's policy file.
const ADMIN: &str = "/etc/orchestrator/policy.toml";

/// The files that are looked for, in the order of their tiers.
pub fn files(places: &Places, workspace: Option<&Path>) -> Vec<(Tier, PathBuf)> {
    let mut files = vec![(Tier::Admin, PathBuf::from(ADMIN)), (Tier::User, places.config.join("policy.toml"))];
    files.extend(workspace.map(|workspace| (Tier::Project, workspace.join(".orchestrator/policy.toml"))));
    files
}

/// The policy in force in a workspace. A file that is there and cannot be used is an error: rules that forbid must not
/// be lost in silence.
pub fn load(places: &Places, workspace: Option<&Path>) -> Result<Policy, PolicyError> {
    read(files(places, workspace))
}

/// The policy that would be in force with another file in place of the user's.
pub fn load_with(places: &Places, workspace: Option<&Path>, own: &Path) -> Result<Policy, PolicyError> {
    let mut files = files(places, workspace);
    files.iter_mut().filter(|(tier, _)| *tier == Tier::User).for_each(|(_, path)| own.clone_into(path));
    read(files)
}

fn read(files: Vec<(Tier, PathBuf)>) -> Result<Policy, PolicyError> {
    let mut texts = Vec::new();
    for (tier, path) in files {
        let name = path.display().to_string();
        match fs::read_to_string(&path) {
            Ok(text) => texts.push((tier, name, text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => {
                return Err(PolicyError {
                    message: format!("{name} cannot be read: {error}"),
                    hint: "mend its permissions, or move it away to go on without it".to_owned(),
                });
            }
        }
    }
    let sources: Vec<Source> = texts.iter().map(|(tier, file, text)| Source { tier: *tier, file, text }).collect();
    Policy::load(&sources)
}

/// The rules in force in one workspace while its daemon lives: read again when one of their files is another than before.
#[derive(Debug)]
pub struct InForce {
    places: Places,
    workspace: PathBuf,
    read: Mutex<Option<Read>>,
    given: Mutex<Given>,
}

/// Verdicts that were given.
#[derive(Debug, Default)]
struct Given {
    verdicts: Verdicts,
    again: u64,
}

/// A policy, and its files as they were when it was read.
#[derive(Debug, Clone)]
struct Read {
    stamps: Vec<Option<Stamp>>,
    policy: Result<Arc<Policy>, PolicyError>,
}

/// What tells a file's one content from another, without reading it: when it changed, its size, which file it is.
type Stamp = (i64, i64, u64, u64);

impl InForce {
    /// The rules of this workspace; nothing is read yet.
    pub fn new(places: Places, workspace: PathBuf) -> InForce {
        InForce { places, workspace, read: Mutex::new(None), given: Mutex::default() }
    }

    /// With room for so many verdicts, each kept for so many seconds.
    pub fn keeping(mut self, size: usize, ttl_s: u64) -> InForce {
        self.given = Mutex::new(Given { verdicts: Verdicts::new(size, ttl_s), again: 0 });
        self
    }

    /// How many verdicts were given again rather than found anew.
    pub fn given_again(&self) -> u64 {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).again
    }

    /// The rules as their files have them now.
    ///
    /// # Errors
    /// A file that is there and cannot be used.
    pub fn now(&self) -> Result<Arc<Policy>, PolicyError> {
        // Looked at before they are read: what changes in between is seen the next time.
        let stamps: Vec<Option<Stamp>> =
            files(&self.places, Some(&self.workspace)).iter().map(|(_, path)| stamp(path)).collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = read.as_ref().filter(|read| read.stamps == stamps) {
            return read.policy.clone();
        }
        let policy = load(&self.places, Some(&self.workspace)).map(Arc::new);
        match &policy {
            Ok(policy) => {
                tracing::info!(workspace = %self.workspace.display(), version = %policy.version, "rules read")
            }
            Err(error) => tracing::error!(%error, hint = %error.hint, "rules cannot be used: everything is asked"),
        }
        *read = Some(Read { stamps, policy: policy.clone() });
        policy
    }

    /// Brings the core's rules up to date, where their files have changed.
    pub fn refresh(&self, settings: &mut Arc<Settings>) {
        let rules = match self.now() {
            Ok(policy) if Arc::ptr_eq(&policy, &settings.rules.policy) && settings.rules.broken.is_none() => return,
            Ok(policy) => Rules { policy, broken: None },
            Err(error) => {
                let broken = Some(format!("{error} ({})", error.hint));
                if settings.rules.broken == broken {
                    return;
                }
                Rules { broken, ..Rules::default() }
            }
        };
        Arc::make_mut(settings).rules = rules;
    }

    /// Judges an ask by the rules as they are now. While they cannot be used, the built-in ones can still forbid; all
    /// else is asked, since what was meant to be forbidden is not known.
    pub fn judge(&self, ask: &Ask, place: &Place, known: &Known) -> Judgement {
        let (policy, broken) = match self.now() {
            Ok(policy) => (policy, None),
            Err(error) => (Arc::new(Policy::builtin().unwrap_or_default()), Some(error)),
        };
        let at = known.now;
        let key = cache::key(ask, place, known, (&policy.version, policy.ended(at)));
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if broken.is_none()
            && let Some(judgement) = given.verdicts.get(&key, at, &RealPaths).cloned()
        {
            given.again += 1;
            return judgement;
        }
        drop(given);
        let looking = Looking::new(&RealPaths);
        let mut judgement = gate::judge(&policy, ask, place, known, &looking);
        if broken.is_none() {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            given.verdicts.put(key, judgement.clone(), looking.looked(), at);
        }
        if let Some(error) = broken.filter(|_| judgement.verdict != Verdict::Deny) {
            judgement.verdict = Verdict::Escalate;
            judgement.why = "rule".to_owned();
            judgement.reasons.insert(0, format!("the rules cannot be used: {error} ({})", error.hint));
        }
        judgement
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.ctime(), found.ctime_nsec(), found.size(), found.ino()))
}

/// The file system's own answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealPaths;

impl Links for RealPaths {
    fn real(&self, path: &str) -> Option<String> {
        let mut known = Path::new(path);
        let mut missing = Vec::new();
        // What is not there yet is made in the deepest folder that is.
        loop {
            match fs::canonicalize(known) {
                Ok(real) => {
                    let whole = missing.iter().rev().fold(real, |path, part| path.join(part));
                    return whole.into_os_string().into_string().ok();
                }
                Err(_) => {
                    // A link to nowhere would be followed once something is there.
                    if let Ok(target) = fs::read_link(known) {
                        let target = known.parent()?.join(target);
                        return target.to_str().map(crate::core::decide::shell::paths::normal);
                    }
                    missing.push(known.file_name()?.to_owned());
                    known = known.parent()?;
                }
            }
        }
    }
}

/// The place of a command that starts in `cwd`: the lane it is in, else the repository, else the folder itself.
pub fn place(places: &Places, cwd: &Path, home: Option<String>) -> Place {
    let real = fs::canonicalize(cwd).unwrap_or_else(|_| cwd.to_owned());
    let lane = lane_of(places, &real);
    let repository = || real.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_owned);
    let root = lane.clone().or_else(repository).unwrap_or_else(|| real.clone());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Place { cwd: text(&real), root: text(&root), lane: lane.is_some(), sandboxed: false, home }
}

/// The lane that a folder is in: `<state>/workspaces/<id>/lanes/<number>`.
fn lane_of(places: &Places, folder: &Path) -> Option<PathBuf> {
    let workspaces = fs::canonicalize(places.state.join("workspaces")).ok()?;
    let mut below = folder.strip_prefix(&workspaces).ok()?.components();
    let (id, lanes, lane) = (below.next()?, below.next()?, below.next()?);
    (lanes.as_os_str() == "lanes").then(|| workspaces.join(id).join(lanes).join(lane))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decide::policy::TaskKnown;

    #[test]
    fn links_lead_where_the_system_says() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = fs::canonicalize(dir.path()).expect("it is there");
        fs::create_dir_all(dir.join("in")).expect("made");
        fs::create_dir_all(dir.join("out/deep")).expect("made");
        std::os::unix::fs::symlink(dir.join("out/deep"), dir.join("in/link")).expect("made");
        std::os::unix::fs::symlink("/etc/nowhere", dir.join("in/dangling")).expect("made");
        let real = |path: &str| RealPaths.real(dir.join(path).to_str().expect("UTF-8"));
        let at = |path: &str| dir.join(path).to_str().map(str::to_owned);
        assert_eq!(real("in/link/new/file"), at("out/deep/new/file"));
        assert_eq!(real("in/link/../x"), at("out/x"));
        assert_eq!(real("in/dangling"), Some("/etc/nowhere".to_owned()));
        assert_eq!(real("in/new"), at("in/new"));
    }

    #[test]
    fn rules_are_those_that_their_files_have_now() {
        let dir = tempfile::tempdir().expect("a folder");
        let places = Places { state: dir.path().into(), runtime: dir.path().into(), config: dir.path().join("config") };
        fs::create_dir_all(&places.config).expect("made");
        let file = places.config.join("policy.toml");
        let rules = InForce::new(places, dir.path().join("repo"));
        let input = serde_json::json!({"command": "ls"});
        let place = Place { cwd: "/l/1".into(), root: "/l/1".into(), lane: true, ..Place::default() };
        let task = Some(TaskKnown { kind_of_work: "fix".into(), kind: "agent".into(), ..TaskKnown::default() });
        let known = Known { task, ..Known::default() };
        let judge = || rules.judge(&Ask { tool: "Bash", input: &input }, &place, &known);
        assert_eq!(judge().verdict, Verdict::Allow);
        let rule = "version = 1\n[[rules]]\nid = \"no-ls\"\nwhen = \"tool.name == 'Bash'\"\nverdict = \"deny\"\n";
        fs::write(&file, rule).expect("written");
        let ruled = judge();
        assert_eq!((ruled.verdict, ruled.rules_hit), (Verdict::Deny, vec!["no-ls".to_owned()]));
        // What cannot be read forbids nothing that is known, so nothing goes without a person.
        fs::write(&file, "version = 1\n[[rules]]\nid = \"no").expect("written");
        let broken = judge();
        assert_eq!((broken.verdict, broken.why.as_str()), (Verdict::Escalate, "rule"), "{broken:?}");
        assert!(broken.reasons[0].contains("policy.toml"), "{broken:?}");
        fs::remove_file(&file).expect("removed");
        assert_eq!(judge().verdict, Verdict::Allow);
    }

    #[test]
    fn a_verdict_is_given_again_while_rules_and_paths_are_what_they_were() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = fs::canonicalize(dir.path()).expect("it is there");
        let places = Places { state: root.clone(), runtime: root.clone(), config: root.join("config") };
        let lane = root.join("lane");
        fs::create_dir_all(lane.join("src")).expect("made");
        fs::create_dir_all(&places.config).expect("made");
        let policy = places.config.join("policy.toml");
        let rules = InForce::new(places, root.join("repo"));
        let text = |path: &Path| path.display().to_string();
        let place = Place { cwd: text(&lane), root: text(&lane), lane: true, ..Place::default() };
        let input = serde_json::json!({"file_path": "src/a.rs", "content": "x"});
        let at = |seconds: u64| Known {
            now: crate::time::Timestamp(seconds * 1000),
            task: Some(TaskKnown { kind_of_work: "fix".into(), kind: "agent".into(), ..TaskKnown::default() }),
            environment: Some("staging".into()),
            ..Known::default()
        };
        let judge = |seconds| rules.judge(&Ask { tool: "Write", input: &input }, &place, &at(seconds));
        assert_eq!((judge(0).verdict, rules.given_again()), (Verdict::Allow, 0));
        assert_eq!((judge(1).verdict, rules.given_again()), (Verdict::Allow, 1));
        // An hour is over.
        assert_eq!((judge(3601).verdict, rules.given_again()), (Verdict::Allow, 1));
        assert_eq!((judge(3602).verdict, rules.given_again()), (Verdict::Allow, 2));
        // A rule forbids it: what was said before counts for nothing, and neither does it once the rule has ended.
        let rule = "version = 1\n[[rules]]\nid = \"no\"\nwhen = \"tool.name == 'Write'\"\nverdict = \"deny\"\nexpires = 1970-01-02\n";
        fs::write(&policy, rule).expect("written");
        assert_eq!((judge(3603).verdict, rules.given_again()), (Verdict::Deny, 2));
        assert_eq!((judge(3604).verdict, rules.given_again()), (Verdict::Deny, 3));
        assert_eq!((judge(86_400).verdict, rules.given_again()), (Verdict::Allow, 3));
        fs::remove_file(&policy).expect("removed");
        // The folder becomes a link out of the lane: the same words are another thing.
        judge(86_401);
        assert_eq!((judge(86_402).verdict, rules.given_again()), (Verdict::Allow, 4));
        fs::remove_dir(lane.join("src")).expect("removed");
        std::os::unix::fs::symlink("/etc", lane.join("src")).expect("made");
        let out = judge(86_403);
        assert_ne!(out.verdict, Verdict::Allow, "{out:?}");
        assert_eq!(rules.given_again(), 4);
        // What cannot be taken back is judged anew each time.
        let grave = serde_json::json!({"command": "rm -rf /home/u/photos"});
        let again = |seconds| rules.judge(&Ask { tool: "Bash", input: &grave }, &place, &at(seconds)).verdict;
        assert_eq!((again(86_404), again(86_405), rules.given_again()), (Verdict::Escalate, Verdict::Escalate, 4));
    }

    #[test]
    fn a_lane_is_known_by_where_it_lies() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = fs::canonicalize(dir.path()).expect("it is there");
        let places = Places { state: dir.join("state"), runtime: dir.join("run"), config: dir.join("config") };
        let inside = dir.join("state/workspaces/web/lanes/3/src");
        fs::create_dir_all(&inside).expect("made");
        fs::create_dir_all(dir.join("repo/.git")).expect("made");
        fs::create_dir_all(dir.join("repo/src")).expect("made");
        let lane = place(&places, &inside, None);
        assert!(lane.lane && lane.root.ends_with("/lanes/3"), "{lane:?}");
        let repo = place(&places, &dir.join("repo/src"), None);
        assert!(!repo.lane && repo.root.ends_with("/repo") && repo.cwd.ends_with("/repo/src"), "{repo:?}");
    }
}
