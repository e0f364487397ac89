//! What an action touches, whether it can be taken back, and how bad a mistake would be (SCHEMAS S3). Nothing is judged
//! here: these are the measures the gate, the policy and a decision's page share.

use serde::{Deserialize, Serialize};

/// What part of the world an effect is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Touched {
    /// It is only looked at.
    Read,
    /// An isolated checkout, which is kept or thrown away as a whole.
    Lane,
    /// The user's own files.
    Workspace,
    /// Other machines, processes, services, or files of the system.
    External,
    /// Something that must not be told.
    Secret,
    /// Rights, accounts, the machine itself.
    Privilege,
}

impl Touched {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Touched::Read => "read",
            Touched::Lane => "lane",
            Touched::Workspace => "workspace",
            Touched::External => "external",
            Touched::Secret => "secret",
            Touched::Privilege => "privilege",
        }
    }
}

/// Whether it can be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reversible {
    /// By ourselves, completely.
    Yes,
    /// By doing something else that makes up for it.
    Compensable,
    /// No.
    No,
}

impl Reversible {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Reversible::Yes => "yes",
            Reversible::Compensable => "compensable",
            Reversible::No => "no",
        }
    }
}

/// How something is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Looks at it.
    Reads,
    /// Makes or changes it.
    Writes,
    /// Removes it.
    Deletes,
    /// Talks to it.
    Network,
    /// Runs code that was not looked at.
    Exec,
    /// Stops or changes a running process or service.
    Control,
    /// Uses or changes rights.
    Privilege,
    /// Sees something that must not be told.
    Secrets,
}

impl Action {
    /// The word on the wire and in `command.effects`.
    pub fn word(self) -> &'static str {
        match self {
            Action::Reads => "reads",
            Action::Writes => "writes",
            Action::Deletes => "deletes",
            Action::Network => "network",
            Action::Exec => "exec",
            Action::Control => "control",
            Action::Privilege => "privilege",
            Action::Secrets => "secrets",
        }
    }
}

/// One effect of an action.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Effect {
    /// In words: `writes src/a.rs`.
    pub what: String,
    /// How it is touched.
    pub action: Action,
    /// What part of the world it is in.
    pub class: Touched,
    /// Whether it can be taken back.
    pub reversible: Reversible,
    /// The file, host or program, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Effect {
    /// How bad a mistake would be, by S3's table, outside production.
    pub fn criticality(&self) -> f64 {
        match (self.class, self.reversible) {
            (Touched::Secret | Touched::Privilege, _) => 1.0,
            (Touched::Read, _) => 0.0,
            (Touched::Lane, Reversible::Yes | Reversible::Compensable) => 0.1,
            (Touched::Workspace, Reversible::Yes) => 0.3,
            (Touched::Workspace | Touched::External, Reversible::Compensable) => 0.7,
            (Touched::External, Reversible::Yes) => 0.7,
            (Touched::Lane | Touched::Workspace | Touched::External, Reversible::No) => 1.0,
        }
    }
}

/// Criticality of an action: its strictest effect. In production whatever acts outside is 0.9 at least. An action whose
/// effects are unknown has none of the comfort of a known one.
pub fn criticality(effects: &[Effect], understood: bool, environment: Option<&str>) -> f64 {
    let strictest = effects.iter().map(Effect::criticality).fold(0.0, f64::max);
    let strictest = if understood { strictest } else { strictest.max(0.9) };
    let acts = !understood || effects.iter().any(|effect| !matches!(effect.class, Touched::Read | Touched::Lane));
    match environment {
        Some(name) if acts && is_production(name) => strictest.max(0.9),
        _ => strictest,
    }
}

/// Whether a name of an environment means production.
pub fn is_production(environment: &str) -> bool {
    matches!(environment.trim().to_lowercase().as_str(), "production" | "prod" | "live")
}

/// Whether all of it can be taken back: the hardest of its effects.
pub fn reversible(effects: &[Effect], understood: bool) -> Reversible {
    let acts = effects.iter().filter(|effect| effect.class != Touched::Read);
    let hardest = acts.map(|effect| effect.reversible).max().unwrap_or(Reversible::Yes);
    if understood { hardest } else { hardest.max(Reversible::Compensable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(class: Touched, reversible: Reversible) -> Effect {
        Effect { what: String::new(), action: Action::Writes, class, reversible, target: None }
    }

    /// The whole table of S3.
    #[test]
    fn criticality_is_the_strictest_effect() {
        use {Reversible::*, Touched::*};
        for (class, back, expected) in [
            (Read, Yes, 0.0),
            (Lane, Yes, 0.1),
            (Workspace, Yes, 0.3),
            (External, Compensable, 0.7),
            (Secret, Yes, 1.0),
            (Privilege, Yes, 1.0),
            (Workspace, No, 1.0),
            (External, No, 1.0),
        ] {
            assert_eq!(criticality(&[effect(class, back)], true, None), expected, "{class:?} {back:?}");
        }
        let both = [effect(Read, Yes), effect(Workspace, Yes)];
        assert_eq!(criticality(&both, true, None), 0.3);
        assert_eq!(criticality(&both, true, Some("production")), 0.9);
        assert_eq!(criticality(&both[..1], true, Some("production")), 0.0, "to look at production harms nobody");
        assert_eq!(criticality(&[], false, None), 0.9, "what is not understood is critical");
        assert_eq!(reversible(&both, true), Yes);
        assert_eq!(reversible(&[effect(External, No), effect(Lane, Yes)], true), No);
    }
}
