//! Names a failure: reads the text a failed step left and how it ended, and says what kind it is and which way leads out.
//!
//! Ordered rules on signals that many tools share: errno names and texts, HTTP statuses, exit codes, signals, and the
//! plain words tools use. Earlier rules win, because the strict reading must not be lost to a friendlier one further
//! down (a "403 … try again" is still security). It decides nothing about *this* task: whether a retry is allowed
//! (idempotence, attempts left, budget) is the router's question.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The way to another machine failed: DNS, connection, TLS handshake, proxy.
    Network,
    /// This machine ran out of something: memory, disk, descriptors, time.
    Resource,
    /// The input or the result is not acceptable as it is.
    Validation,
    /// Rights, credentials, signatures, certificates.
    Security,
    /// The other side is busy or briefly away; the same call may work later.
    Transient,
    /// What is needed does not exist, or can never work here.
    Permanent,
    /// An account's allowance is used up until it is reset.
    Quota,
    /// Two changes meet: merge conflicts, non-fast-forward, locks held by somebody.
    Conflict,
    /// The work ran and its check says the result is wrong: tests, build, garbled output.
    WrongOutput,
    /// The step could not run here: a program or a dependency is missing, or may not be executed.
    Environment,
    /// Nothing is recognised.
    Unknown,
}

/// How bad it is for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Passes by itself.
    Low,
    /// This step needs another way.
    Medium,
    /// A person will probably have to look.
    High,
    /// Harm may have been done.
    Critical,
}

/// The way out. `route` in the plan's words; the router may be stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// The same again, later.
    Retry,
    /// Another way to the same end: the next agent, another command, the failure text in the next attempt.
    Fallback,
    /// Undo outside effects or free what is short, then go on.
    Compensate,
    /// Restore the lane.
    Rollback,
    /// Ask a person.
    Escalate,
    /// Wait, without using an attempt, until something resets.
    Park,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Not known, only the text is.
    #[default]
    Unknown,
    /// It exited with this status.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It ran past its time limit.
    Timeout,
    /// It said nothing for too long.
    Silent,
    /// It could not be started.
    NotStarted,
    /// Its answer could not be read.
    Garbled,
    /// Somebody stopped it.
    Cancelled,
    /// It was lost in a crash; it may have run.
    Lost,
}

impl Exit {
    /// Reads the wire form of `TaskStatus.attempts[].end`: `exit:0`, `signal:9`, `timeout`, …, or a bare status.
    pub fn parse(text: &str) -> Option<Exit> {
        let number = |text: &str| text.trim().parse::<i32>().ok();
        match text.trim() {
            "timeout" => Some(Exit::Timeout),
            "silent" | "silence" => Some(Exit::Silent),
            "not_started" => Some(Exit::NotStarted),
            "garbled" => Some(Exit::Garbled),
            "cancelled" => Some(Exit::Cancelled),
            "lost" => Some(Exit::Lost),
            "unknown" | "" => Some(Exit::Unknown),
            other => match other.split_once(':') {
                Some(("exit" | "code", status)) => number(status).map(Exit::Code),
                Some(("signal", signal)) => number(signal).map(Exit::Signal),
                Some(_) => None,
                None => number(other).map(Exit::Code),
            },
        }
    }
}

/// A failure, named. `severity`, `recoverable`, `retry_potential` and `escalation_required` are on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Its kind.
    pub class: Class,
    /// How bad.
    pub severity: Severity,
    /// Whether the run can go on without a person.
    pub recoverable: bool,
    /// The chance, 0..1, that the same step works when simply repeated.
    pub retry_potential: f64,
    /// Whether a person must be told in any case.
    pub escalation_required: bool,
    /// The way out.
    pub route: Route,
    /// How sure the naming is, 0..1.
    pub confidence: f64,
    /// Seconds that the other side asked us to wait.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_s: Option<f64>,
    /// What it was recognised by, one sentence each.
    pub reasons: Vec<String>,
}

/// One rule: the class, how sure it is, what it looks for (said in words), and the pattern.
struct Rule {
    class: Class,
    confidence: f64,
    sign: &'static str,
    pattern: Regex,
}

/// The rules in order; all read lower-case text in which runs of white space are one blank.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    use Class::*;
    let table: &[(Class, f64, &str, &str)] = &[
        // A disk's quota is freed by deleting, not by waiting.
        (Resource, 0.95, "the disk's quota is used up", r"disk quota|\bedquot\b"),
        // A lasting allowance comes before rate limits: waiting seconds does not help.
        (
            Quota,
            0.9,
            "an allowance is used up",
            r"insufficient_quota|quota (has been )?(exceeded|exhausted|reached)|(exceeded|exhausted|reached|over) (your |the )?(\w+ )?(monthly |daily |weekly |current )?(quota|usage limit|spending limit|credit)|(usage|session|weekly|5-hour|spend(ing)?|credit|billing) (hard )?limit (has been )?(reached|hit|exceeded)|credit balance is too low|out of credits|payment required|you('ve| have) (hit|reached) your (usage |session )?limit|limit resets? (at|in|on)",
        ),
        (
            Transient,
            0.95,
            "the other side limits the rate",
            r"rate.?limit|too many requests|(http|status|code|error|returned|response)[^a-z0-9]{0,3}[ :=/.\d]{0,8}429\b|^429\b|\b429 (client|too|error)|throttl(ed|ing)|slow ?down|secondary limit|abuse detection|request limit exceeded|retry.?after:? ?\d",
        ),
        // Integrity and rights before anything that mentions retrying.
        (
            Security,
            0.9,
            "integrity of what was fetched is in doubt",
            r"do(es)? not match (the )?(hash|checksum|digest|signature|lockfile hash)|(hash|checksum|digest|integrity|signature)( \w+){0,3} (mismatch|fail|failed|invalid|error|could not be verified)|mismatch(ed)? (hash|checksum|digest)|\beintegrity\b|integrity (check|checksum|verification)|bad signature|(invalid|unknown|untrusted|missing) (pgp |gpg )?signature|no valid openpgp|(was|is|were|are) not signed|tamper|possible (attack|man.in.the.middle)|remote host identification has changed|host key verification failed|known vulnerabilit|\d+ (\w+ ){0,3}vulnerabilit(y|ies)|malicious|malware|supply.chain|security (policy|violation|error|risk)",
        ),
        (
            Security,
            0.85,
            "a certificate is not accepted",
            r"certificate (verify|verification|has expired|is not (valid|trusted)|signed by unknown|not trusted|error|validation)|self.?signed|unable to (get|verify) (the )?(local issuer|first|leaf|issuer)|\bcert_(has_expired|untrusted)|x509:|ssl: ?certificate|unable_to_(verify|get)\w*|hostname.{0,30}(mismatch|does(n't| not) match)|not a trusted",
        ),
        (
            Security,
            0.9,
            "rights or credentials are missing",
            r"\beacces\b|\beperm\b|permission(s)? (was |is |were )?(denied|required|error|missing|insufficient)|permission denied|permission to .{1,120} denied|operation not permitted|access (is |was )?(denied|forbidden|to .{1,60} (denied|forbidden))|not (have|having|sufficient) (the )?(required |sufficient |necessary |enough )?(permission|access|privilege|rights)|do(es)? not have (\w+ ){0,3}(access|permission)|insufficient (permission|privilege|scope|rights|access)|forbidden|unauthori[sz]ed|not authori[sz]ed|unauthenticated|authenti?cat\w*( \w+){0,3} (fail|failed|failure|required|error|invalid)|(fail(ed|ure)?|unable|could not|cannot|can't|must|need) (to |in )?(be )?authenticat|(failed|invalid|wrong|bad|expired|revoked|incorrect|missing|rejected|no) (\w+ )?(credential|api.?key|password|passphrase|access token|auth(entication)? token|oauth token|bearer token|login|one-time pass|otp)|(invalid|incorrect|wrong|unknown) user ?name|token (is |has |was |seems |appears )?(to be )?(expired|invalid|revoked|missing|required|not valid)|(log ?in|logging in|sign in|authenticate) (again|first|required)|login required|requires? (you to be )?(authentication|authorization|logged in)|not logged in|\beneedauth\b|\be40[13]\b|\beotp\b|^40[13]\b|(http|status|code|error|err|returned|response)[^a-z0-9]{0,3}[ :=/.\d]{0,8}40[13]\b|\b40[13] (client|error|in most)|root.owned|owned by root|(run|running|must be|be|need|needs|requires?)( \w+){0,3} (as )?(root|sudo|administrator|superuser)\b|sudo:|\bcve-\d|credentials? (not|were|was|is|are) |secret .{0,30}(expos|leak|detect|found)|csrf|sandbox (denied|violation)|not trusted|untrusted|(read|write) access to .{0,40}not granted|seccomp|selinux|apparmor|dubious ownership",
        ),
        // This machine.
        (
            Resource,
            0.95,
            "memory, disk or another resource of this machine is used up",
            r"\benospc\b|\bnospc\b|no space left|(insufficient|not enough|out of|low|no( more)?|exhausted|exceeded)( \w+){0,3} (disk|space|memory|storage|descriptors|inodes|resources|heap|gpu|cpu|processes)\b|disk (is )?full|file ?system (is )?full|oom|out.of.memory|\benomem\b|cannot allocate|can't allocate|could not allocate|(memory|alloc\w*|malloc)( \w+){0,3} (fail|failed|failure|exhausted|limit|exceeded)|bad_alloc|memoryerror|memory limit|heap limit|java heap space|\bemfile\b|\benfile\b|too many open files|resource temporarily unavailable|resource (limit|exhausted)|resource_exhausted|cannot fork|fork: |\bulimit|stack overflow|maximum call stack|rlimit|(cpu|time|memory) limit exceeded|pids? limit|evicted|no (free )?(memory|space)\b|\berrno 28\b|os error (12|24|28)\b|inotify watch|killed signal|signal: 9\b|memory exhausted|(was|process|been) oom.?killed",
        ),
        // A remark on an argument may quote any word of the rules below ("invalid timeout value").
        (
            Validation,
            0.9,
            "an argument or a setting is not acceptable",
            r"(invalid|unknown|unrecogni[sz]ed|unexpected|missing|illegal|unsupported|duplicate) ([^ ]+ ){0,2}(value|argument|option|flag|parameter|setting|config|configuration|field|property|key)s?\b|unknown directive|the following (required )?arguments|\beusage\b|(can|may) only be given once|\b(type|value|key|index|attribute)error: |in your (\w+ )?syntax",
        ),
        // Two changes meet.
        (
            Conflict,
            0.9,
            "the repository moved meanwhile",
            r"non.fast.forward|\[rejected\]|fetch first|updates were rejected|failed to push some refs|automatic merge failed|could not apply [0-9a-f]{7,}|\bcannot lock ref|index\.lock|would be overwritten by (merge|checkout)|^conflict \(|\bconflict \((content|add|modify|rename|delete)|needs? (a )?rebase|stale info|reference already exists|patch (does not apply|failed)",
        ),
        // A proxy that is there but whose server is not: the way is fine.
        (
            Transient,
            0.9,
            "a server behind a proxy is briefly away",
            r"upstream (connect|request|server|prematurely|timed|error)|bad gateway|no healthy upstream|gateway time-?out",
        ),
        // The way there.
        (
            Network,
            0.9,
            "the connection or the name look-up failed",
            r"unknown ?host|\beconnrefused|econnreset|econnaborted|\benotfound\b|etimedout|esockettimedout|ehostunreach|enetunreach|enetdown|eai_again|\bepipe\b|eproto\b|err_socket|connection ?(was |is |has been |to .{0,80} )?(refused|reset|aborted|closed|lost|failed|timed ?out|error|broken|dropped|terminated|unexpectedly)|connect(ion)? ?(failed|error|timeout|refused)|connection(failed|reset|refused|aborted|timeout)?error|(failed|unable|could ?n.t|could not|cannot|can't) (to )?(connect|establish|reach|resolve host|resolve proxy|resolve hostname|resolve name)|name or service not known|temporary failure in name resolution|(resolve|lookup|look up)( \w+){0,2} (host|dns|address)|no address associated|getaddrinfo|\bdns\b.{0,40}(fail|error|timeout|not)|dial tcp|no such host|no route to host|network ?(is |was )?(unreachable|down|error|failure|timeout|connectivity|problem|connection)|network.{0,30}(unreachable|unavailable|failed|failure)|host (is )?unreachable|socket (hang up|closed|timeout|error)|broken pipe \(os error|read ?timed ?out|readtimeout|connecttimeout|newconnectionerror|max retries exceeded|protocolerror|remote end (closed|hung up)|the remote end hung up|early eof|unexpected eof.{0,40}(ssl|tls|server|remote|connection)|incompleteread|tls handshake|ssl (handshake|error|connect)|handshake (fail|timed|error)|proxy (error|connect|tunnel|authentication)|behind a proxy|tunneling socket|curl: \((5|6|7|18|28|35|52|55|56|92)\)|rpc failed|\boffline\b|err_internet|err_connection|fetch failed|failed to fetch|unable to access .https?:|software caused connection abort|peer closed|enotconn|os error (101|103|104|110|111|113)\b|download( \w+){0,3} (interrupted|incomplete|timed out)",
        ),
        // The other side, for now.
        (
            Transient,
            0.9,
            "the other side is busy or briefly away",
            r"\b(500|502|503|504|520|521|522|523|524|529)\b.{0,40}(error|gateway|unavailable|timeout|server|response|overloaded)|(http|status|code|response|error|returned|e)[ :=/.\d]*\b?(500|502|503|504|408|425|529)\b|internal server error|bad gateway|gateway time-?out|service (is )?(temporarily )?unavailable|temporarily|temporary (failure|error|problem|outage|issue)|overloaded|server( \w+){0,2} (busy|unavailable|not available|not ready|error|starting|is down|overloaded|timed? ?out)|(is |are |was |currently |not yet )(unavailable|not available yet|busy|overloaded)|\b(not|un)available (yet|now|right now|at the moment|currently)|upstream|try(ing)? again (later|in|soon|shortly)|retry (later|shortly|in )|please (retry|try again) (later|in|soon)|timed? ?out|timeout|time-out|deadline exceeded|deadlock|lock (wait|timeout)|could not (get|acquire|obtain) (a |the )?(\w+ )?lock|(database|resource|file|device|table) is (locked|busy)|\bebusy\b|\beagain\b|being used by another process|sqlite_busy|serialization failure|could not serialize access|currently unable|flak(y|e)|intermittent|starting up|not ready|stale file handle|\bestale\b|leader (election|changed)|no leader|circuit ?breaker|maintenance|warming up|already in progress",
        ),
        // The check ran and says no.
        (
            WrongOutput,
            0.85,
            "the work's own check says the result is wrong",
            r"assertion(error)?( \w+)? ?(failed|`)|assertionerror|test result: failed|\d+ (tests? )?(failed|failing)\b|tests? (\S+ ){0,2}failed|fail(ed|ing) tests?|--- fail:|error\[e\d{4}\]|could not compile|compil(ation|er|e) (error|failed|failure)|error ts\d{4}|undefined reference to|mismatched types|build failed|type ?check(ing)? failed|lint(ing)? (error|failed)|snapshot .{0,30}(mismatch|obsolete)|panicked at",
        ),
        // The step cannot run here.
        (
            Permanent,
            0.9,
            "it does not exist, or can never work here",
            r"no module named|cannot import name|module ?not ?found|cannot find module|can't find module|could ?n.t find|could not find a version|no matching (distribution|version|package|manifest)|no (such|compatible|candidate|suitable|versions?|releases?|package|results?) |no such file|\benoent\b|not found|notfound|does(n't| not) exist|do(n't| not) exist|doesn.t appear to be|did(n't| not) match any|no rule to make|no longer (exists?|available|supported|maintained)|unable to (locate|find)|(cannot|can't|could not|unable to|failed to) (be )?(find|found|locate|open shared)|\b(404|410)\b|\be404\b|\bgone\b|unpublished|has been (removed|deleted|yanked|deprecated|archived)|yanked|notsup|not (supported|compatible|implemented|installed|available)|unsupported|incompatible|\betarget\b|notarget|\bebadengine|\bebadplatform|not in this registry|unknown (package|host|revision|command|repository|target|platform|ref)|unrecogni[sz]ed (command|subcommand)|is not (a git repository|recognized as|installed|in (your |the )?path)|end.of.life|deprecated|please check if you have|not in the npm registry|repository .{0,60}(archived|not found|disabled)|couldn't find remote ref|no version|exec format error|cannot execute binary|wrong architecture|requires (a different )?(python|node|rustc|java|ruby)|not a supported|not on (this|your) (platform|system)|shared librar|failed to build|blacklisted",
        ),
        // What was said or given is not acceptable. Last of the named ones, because its words are the broadest.
        (
            Validation,
            0.8,
            "the input is not acceptable as it is",
            r"invalid|\beinval|validation|malformed|(syntax|parse|parser|decode|schema|type|value|key|usage|config(uration)?)[ -]?error|typeerror|unexpected|(failed|unable|could not|cannot|can't) to? ?(parse|decode|deserialize|process|understand|load config)|parse fail|parsing|required|missing|must (be|have|contain|match|not|provide|specify|only)|may not be|should (be|have|contain|not)|expected|illegal|not (valid|allowed|permitted|a valid|unique|a number)|cannot (be|have|contain|use|publish|override|combine|specify|read|set|install)|can ?not|can't|can only|only be (given|used|specified|set)|at (least|most) (one|\d)|out of range|too (long|large|short|many|small|few)|already (exists?|been|taken|in use|defined)|\beexist\b|file exists|duplicate|conflict|mismatch|circular|cyclic|cycle|bad request|unprocessable|\b(400|405|406|409|412|413|415|422)\b|wrong (number|type|format)|ambiguous|unknown (option|argument|flag|field|key|property|config)|unrecognized (option|argument)|no (\w+ ){0,2}(given|specified|provided)|please (provide|specify|use|check|update|remove|resolve)|ignoring|(not|never) (specified|provided|given|set|configured|match)|eresolve|could not resolve|unable to resolve|resolution ?(impossible|error)|usage:|\beusage\b|requires? (an?|at|the|that)|does not (match|satisfy|meet|support)|disallowed|refus(ed|ing) to|broken",
        ),
    ];
    table
        .iter()
        .map(|(class, confidence, sign, pattern)| Rule {
            class: *class,
            confidence: *confidence,
            sign,
            pattern: Regex::new(&ascii(pattern)).expect("the table's patterns are constant and tested"),
        })
        .collect()
});

/// The pattern over ASCII words only. The texts are put in lower case first; tables for every script would cost
/// milliseconds to build and find nothing more.
fn ascii(pattern: &str) -> String {
    pattern.replace(r"\w", "[a-z0-9_]").replace(r"\d", "[0-9]").replace(r"\b", r"(?-u:\b)")
}

/// `Retry-After: 20`, "try again in 1m30s", "retry in 500 ms", "resets in 2 hours": seconds to wait, if the text asks.
static RETRY_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?i)(?:retry[-_ ]?after(?:[-_ ]?(ms|seconds?|secs?))?["']?\s*[:= ]\s*["']?|(?:try(?:ing)? again|retry(?:ing)?|retried|available|wait(?:ing)?|resets?|backoff|back off)(?: \w+){0,3}? (?:in|for|after|at least|another)\s+(?:about |approximately )?|wait )((?:\d+(?:\.\d+)?\s*(?:milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)?[ ,]*(?:and )?)+)"#,
    )
    .expect("constant pattern")
});

static DURATION_PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(\d+(?:\.\d+)?)\s*(milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)?",
    )
    .expect("constant pattern")
});

/// Reads how long the other side asks us to wait, in seconds. A bare number is seconds, as in HTTP.
pub fn retry_after_s(message: &str) -> Option<f64> {
    let found = RETRY_AFTER.captures(message)?;
    let default_unit =
        if found.get(1).is_some_and(|unit| unit.as_str().eq_ignore_ascii_case("ms")) { 0.001 } else { 1.0 };
    let mut total_s = 0.0;
    for part in DURATION_PART.captures_iter(&found[2]) {
        let amount: f64 = part[1].parse().ok()?;
        let unit = part.get(2).map(|unit| unit.as_str().to_ascii_lowercase());
        total_s += amount
            * match unit.as_deref() {
                None => default_unit,
                Some(unit) if unit.starts_with("mil") || unit.starts_with("ms") => 0.001,
                Some(unit) if unit.starts_with('m') => 60.0,
                Some(unit) if unit.starts_with('h') => 3600.0,
                Some(unit) if unit.starts_with('d') => 86400.0,
                Some(_) => 1.0,
            };
    }
    Some(total_s)
}

/// Says what a failure is and which way leads out.
///
/// The exit comes first where it alone is decisive (not started, 126/127, killed for memory), then the ordered rules on
/// the text, then what the exit suggests when the text says nothing. `message` may be any length; its first and last
/// 8 KiB are read, because causes stand at the start and summaries at the end.
pub fn classify(message: &str, exit: Exit) -> Classified {
    let text = normalise(message);
    let mut reasons = Vec::new();
    let from_text = RULES.iter().find_map(|rule| {
        let found = rule.pattern.find(&text)?;
        Some((rule.class, rule.confidence, format!("{}: \"{}\"", rule.sign, clip(found.as_str()))))
    });
    let retry_after_s = retry_after_s(&text);
    let (class, confidence) = match (decisive(exit, from_text.as_ref().map(|found| found.0)), from_text) {
        (Some((class, confidence, reason)), _) => {
            reasons.push(reason);
            (class, confidence)
        }
        (None, Some((class, confidence, reason))) => {
            reasons.push(reason);
            (class, confidence)
        }
        (None, None) => {
            let (class, confidence, reason) = by_exit_alone(exit);
            reasons.push(reason);
            (class, confidence)
        }
    };
    // Somebody who says when to come back is not gone for good.
    let (class, confidence) = match (class, retry_after_s) {
        (Class::Unknown | Class::Validation | Class::Permanent, Some(wait_s)) => {
            reasons.push(format!("the other side asks to wait {wait_s} s"));
            (Class::Transient, 0.8)
        }
        (class, _) => (class, confidence),
    };
    conclude(class, confidence, exit, retry_after_s, reasons)
}

/// What the exit alone proves, whatever the text says.
fn decisive(exit: Exit, text: Option<Class>) -> Option<(Class, f64, String)> {
    match exit {
        Exit::NotStarted => match text {
            // The reason for not starting is worth more than the fact, where it is a matter of rights or of means.
            Some(Class::Security | Class::Resource) => None,
            _ => Some((Class::Environment, 0.9, "the program could not be started".into())),
        },
        Exit::Code(127) => Some((Class::Environment, 0.95, "exit 127: the program was not found".into())),
        Exit::Code(126) => Some((Class::Environment, 0.9, "exit 126: the program may not be executed".into())),
        Exit::Garbled => Some((Class::WrongOutput, 0.9, "its answer could not be read".into())),
        // 137 is how a shell reports SIGKILL, which is mostly the kernel's or a container's memory limit.
        Exit::Code(137) | Exit::Signal(9) if text != Some(Class::Security) => {
            Some((Class::Resource, 0.7, "killed (SIGKILL), mostly for want of memory".into()))
        }
        // BSD's sysexits, where the text adds nothing.
        Exit::Code(75) if text.is_none() => Some((Class::Transient, 0.8, "exit 75: temporary failure".into())),
        _ => None,
    }
}

/// What the exit suggests when the text is not recognised.
fn by_exit_alone(exit: Exit) -> (Class, f64, String) {
    match exit {
        Exit::Timeout => (Class::Transient, 0.6, "it ran past its time limit".into()),
        Exit::Silent => (Class::Transient, 0.6, "it said nothing for too long".into()),
        Exit::Lost => (Class::Transient, 0.7, "it was lost in a crash and may have run".into()),
        Exit::Cancelled => (Class::Unknown, 0.9, "somebody stopped it".into()),
        Exit::Code(124) => (Class::Transient, 0.7, "exit 124: timed out".into()),
        Exit::Code(64 | 65) => (Class::Validation, 0.7, "exit 64 or 65: usage or data error".into()),
        Exit::Code(66 | 72) => (Class::Permanent, 0.7, "exit 66 or 72: an input is missing".into()),
        Exit::Code(68 | 69) => (Class::Network, 0.6, "exit 68 or 69: host or service unavailable".into()),
        Exit::Code(77) => (Class::Security, 0.7, "exit 77: not permitted".into()),
        Exit::Code(78) => (Class::Validation, 0.7, "exit 78: configuration error".into()),
        Exit::Code(130 | 143) | Exit::Signal(2 | 15 | 1) => {
            (Class::Transient, 0.5, "it was interrupted from outside".into())
        }
        // 128 + SIGABRT, SIGBUS, SIGSEGV, SIGILL, SIGFPE: the program itself is broken or was fed what breaks it.
        Exit::Code(132 | 134 | 135 | 136 | 139) | Exit::Signal(4 | 6 | 7 | 8 | 11) => {
            (Class::WrongOutput, 0.6, "the program crashed".into())
        }
        Exit::Code(152) | Exit::Signal(24 | 25) => {
            (Class::Resource, 0.8, "a CPU or file size limit was reached".into())
        }
        Exit::Code(status) if status != 0 => {
            (Class::Unknown, 0.3, format!("exit {status}, and nothing known in its text"))
        }
        Exit::Signal(signal) => (Class::Unknown, 0.3, format!("signal {signal}, and nothing known in its text")),
        Exit::Code(_) | Exit::Unknown | Exit::NotStarted | Exit::Garbled => {
            (Class::Unknown, 0.3, "nothing known in its text".into())
        }
    }
}

/// The table from class to the rest. Values of network, resource, validation, security and unknown are the
/// specification's; `permanent` falls back because another package, version or way may exist.
fn conclude(class: Class, confidence: f64, exit: Exit, retry_after_s: Option<f64>, reasons: Vec<String>) -> Classified {
    let (severity, recoverable, mut retry_potential, route) = match class {
        Class::Network => (Severity::Low, true, 0.8, Route::Retry),
        Class::Transient => (Severity::Low, true, 0.9, Route::Retry),
        Class::Resource => (Severity::High, true, 0.6, Route::Compensate),
        Class::Validation => (Severity::Medium, false, 0.0, Route::Fallback),
        Class::Permanent => (Severity::Medium, false, 0.0, Route::Fallback),
        Class::Security => (Severity::Critical, false, 0.0, Route::Escalate),
        Class::Quota => (Severity::Medium, true, 0.0, Route::Park),
        Class::Conflict => (Severity::Medium, true, 0.4, Route::Rollback),
        Class::WrongOutput => (Severity::Medium, true, 0.3, Route::Fallback),
        Class::Environment => (Severity::High, false, 0.0, Route::Fallback),
        Class::Unknown => (Severity::Medium, false, 0.3, Route::Fallback),
    };
    if exit == Exit::Cancelled {
        retry_potential = 0.0;
    }
    Classified {
        class,
        severity,
        recoverable,
        retry_potential,
        escalation_required: class == Class::Security,
        route: if exit == Exit::Cancelled && class != Class::Security { Route::Rollback } else { route },
        confidence,
        retry_after_s,
        reasons,
    }
}

/// The part of a text that is read, in lower case, with escape sequences gone and white space made single blanks.
fn normalise(message: &str) -> String {
    static ESCAPES: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\x1b\[[0-9;?]*[A-Za-z]").expect("constant pattern"));
    const WINDOW_BYTES: usize = 8 * 1024;
    let head_end = boundary(message, WINDOW_BYTES);
    let tail_start = boundary(message, message.len().saturating_sub(WINDOW_BYTES)).max(head_end);
    let read = format!("{} {}", &message[..head_end], &message[tail_start..]);
    ESCAPES
        .replace_all(&read, "")
        .replace(['\u{2019}', '\u{2018}'], "'")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .to_lowercase()
}

fn clip(text: &str) -> &str {
    &text[..boundary(text, 60)]
}

/// The greatest character boundary at or below `index`.
fn boundary(text: &str, index: usize) -> usize {
    (0..=index.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(message: &str) -> Class {
        classify(message, Exit::Unknown).class
    }

    #[test]
    fn texts_of_each_class() {
        use Class::*;
        for (message, wanted) in [
            ("error: connect ECONNREFUSED 127.0.0.1:5432", Network),
            ("getaddrinfo ENOTFOUND registry.example.org", Network),
            ("curl: (6) Could not resolve host: example.org", Network),
            (
                "fatal: unable to access 'https://example.org/x.git/': Failed to connect to example.org port 443",
                Network,
            ),
            ("ReadTimeoutError: HTTPSConnectionPool: Read timed out.", Network),
            ("ssh: connect to host example.org port 22: No route to host", Network),
            ("java.lang.OutOfMemoryError: Java heap space", Resource),
            ("write error: No space left on device", Resource),
            ("OSError: [Errno 24] Too many open files", Resource),
            ("FATAL ERROR: Reached heap limit Allocation failed", Resource),
            ("error: unexpected argument '--fo' found", Validation),
            ("invalid value for option 'timeout': temporary", Validation),
            ("IntegrityError: UNIQUE constraint failed: duplicate key", Validation),
            ("FAILED 401 checks ran, value is invalid", Validation),
            ("SyntaxError: Unexpected token } in JSON at position 4", Validation),
            ("ERROR: Invalid requirement: 'foo=='", Validation),
            ("422 Unprocessable Entity: name is already taken", Validation),
            ("npm error EACCES: permission denied, mkdir '/usr/lib'", Security),
            ("HTTP 401 Unauthorized", Security),
            ("fatal: Authentication failed for 'https://example.org/x.git/'", Security),
            ("sha512 integrity checksum failed when using sha512", Security),
            ("SSL: CERTIFICATE_VERIFY_FAILED self signed certificate", Security),
            ("gpg: BAD signature from somebody", Security),
            ("503 Service Unavailable", Transient),
            ("Error: the server is currently unable to handle the request", Transient),
            ("could not serialize access due to concurrent update", Transient),
            ("write error: Disk quota exceeded", Resource),
            ("error: could not compile `foo` (signal: 9, SIGKILL: kill)", Resource),
            ("remote: Permission to x/y.git denied to bot.", Security),
            (r#"nginx: [emerg] unknown directive "serverr" in /etc/nginx/nginx.conf:3"#, Validation),
            ("ImportError: cannot import name 'foo' from 'bar'", Permanent),
            ("HTTP 429: Too Many Requests", Transient),
            ("ERROR 1213: Deadlock found when trying to get lock", Transient),
            ("sqlite3.OperationalError: database is locked", Transient),
            ("context deadline exceeded", Transient),
            ("npm error 404 Not Found - GET /nothing", Permanent),
            ("ERROR: Could not find a version that satisfies the requirement frob", Permanent),
            ("ENOENT: no such file or directory, open 'x.json'", Permanent),
            ("Error: Cannot find module 'left-pad'", Permanent),
            ("package requires a different Python: 3.8 not in '>=3.11'", Permanent),
            ("You exceeded your current quota, please check your plan", Quota),
            ("Claude usage limit reached, resets at 5pm", Quota),
            ("CONFLICT (content): Merge conflict in src/a.rs", Conflict),
            ("! [rejected] main -> main (non-fast-forward)", Conflict),
            ("test result: FAILED. 3 passed; 1 failed", WrongOutput),
            ("error[E0308]: mismatched types", WrongOutput),
            ("AssertionError: expected 4 to equal 5", WrongOutput),
            ("", Unknown),
            ("hello", Unknown),
        ] {
            assert_eq!(class(message), wanted, "{message}: {:?}", classify(message, Exit::Unknown));
        }
    }

    #[test]
    fn the_stricter_reading_wins() {
        assert_eq!(class("403 Forbidden, please try again later"), Class::Security);
        assert_eq!(class("connection reset while verifying: checksum mismatch"), Class::Security);
        assert_eq!(class("quota exceeded: too many requests this month"), Class::Quota);
    }

    #[test]
    fn exits_speak_where_the_text_does_not() {
        let of = |text: &str, exit| classify(text, exit).class;
        assert_eq!(of("sh: 1: frob: not found", Exit::Code(127)), Class::Environment);
        assert_eq!(of("", Exit::Code(126)), Class::Environment);
        assert_eq!(of("frob", Exit::NotStarted), Class::Environment);
        assert_eq!(of("permission denied", Exit::NotStarted), Class::Security);
        assert_eq!(of("Compiling x", Exit::Code(137)), Class::Resource);
        assert_eq!(of("Killed", Exit::Signal(9)), Class::Resource);
        assert_eq!(of("", Exit::Signal(11)), Class::WrongOutput);
        assert_eq!(of("{", Exit::Garbled), Class::WrongOutput);
        assert_eq!(of("", Exit::Timeout), Class::Transient);
        assert_eq!(of("", Exit::Silent), Class::Transient);
        assert_eq!(of("", Exit::Lost), Class::Transient);
        assert_eq!(of("", Exit::Code(1)), Class::Unknown);
        assert_eq!(of("ECONNRESET", Exit::Code(1)), Class::Network);
        assert_eq!(classify("", Exit::Cancelled).route, Route::Rollback);
    }

    #[test]
    fn values_of_the_specification() {
        let values = |message| {
            let found = classify(message, Exit::Unknown);
            (found.recoverable, found.retry_potential, found.escalation_required, found.route)
        };
        assert_eq!(values("ECONNREFUSED"), (true, 0.8, false, Route::Retry));
        assert_eq!(values("ENOSPC"), (true, 0.6, false, Route::Compensate));
        assert_eq!(values("invalid value"), (false, 0.0, false, Route::Fallback));
        assert_eq!(values("permission denied"), (false, 0.0, true, Route::Escalate));
        assert_eq!(values("hm"), (false, 0.3, false, Route::Fallback));
        assert_eq!(values("insufficient_quota").3, Route::Park);
    }

    #[test]
    fn what_the_other_side_asks_is_read() {
        for (message, wanted) in [
            ("429 Too Many Requests\nRetry-After: 20", Some(20.0)),
            ("{\"retry_after\": 1.5}", Some(1.5)),
            ("retry-after-ms: 250", Some(0.25)),
            ("Rate limit reached. Please try again in 20s.", Some(20.0)),
            ("try again in 1m30s", Some(90.0)),
            ("Please wait 5 minutes", Some(300.0)),
            ("retrying in 500 ms", Some(0.5)),
            ("limit resets in 2 hours", Some(7200.0)),
            ("try again in 6m0s", Some(360.0)),
            ("Please try again later", None),
            ("took 30 s", None),
        ] {
            assert_eq!(classify(message, Exit::Unknown).retry_after_s, wanted, "{message}");
        }
        assert_eq!(class("busy bee, try again in 3 s"), Class::Transient);
    }

    #[test]
    fn exits_are_read_from_the_wire() {
        assert_eq!(Exit::parse("exit:101"), Some(Exit::Code(101)));
        assert_eq!(Exit::parse("signal:9"), Some(Exit::Signal(9)));
        assert_eq!(Exit::parse("127"), Some(Exit::Code(127)));
        assert_eq!(Exit::parse("timeout"), Some(Exit::Timeout));
        assert_eq!(Exit::parse("sideways"), None);
    }

    #[test]
    fn any_text_is_taken() {
        let long = "é".repeat(100_000);
        assert_eq!(class(&long), Class::Unknown);
        assert_eq!(class(&format!("{long} ECONNREFUSED")), Class::Network);
        assert_eq!(class("\x1b[31mpermission\x1b[0m   denied"), Class::Security);
    }

    #[test]
    fn development_corpus() {
        let Some(lines) = crate::core::analyze::corpus("errors.jsonl") else { return };
        let (mut labels, mut routes, mut misses) = (0, 0, String::new());
        for line in &lines {
            let message = line["message"].as_str().unwrap();
            let found = classify(message, Exit::Unknown);
            let class = serde_json::to_value(found.class).unwrap();
            let route = serde_json::to_value(found.route).unwrap();
            labels += usize::from(class == line["label"]);
            routes += usize::from(line["recovery_ok"].as_array().unwrap().contains(&route));
            if class != line["label"] {
                misses += &format!("{} for {}: {message} {:?}\n", class, line["label"], found.reasons);
            }
        }
        let share = |count: usize| count as f64 / lines.len() as f64;
        println!("label {:.3} recovery {:.3}\n{misses}", share(labels), share(routes));
        assert!(share(labels) >= 0.85 && share(routes) >= 0.9, "{misses}");
    }
}
