//! Ports for lanes: ten each, so that servers of two tasks do not meet. No two lanes of a user share one, in whatever
//! workspace they are, and a lane keeps its own as long as it exists.
//!
//! Below the state folder lies `ports/`, where `20010` is a link to the lane that has 20010 to 20019.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How many each lane has.
pub const PER_LANE: u16 = 10;

/// The first that is given out, and where it ends: below what systems give to outgoing connections.
const RANGE: (u16, u16) = (20_000, 32_000);

/// The first of a lane's ports; given out now if it has none. `None` where all are taken.
pub fn of_lane(dir: &Path, lane: &Path) -> io::Result<Option<u16>> {
    // One daemon per user, but many workspaces in it.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    crate::config::create_private(dir)?;
    let mut taken: BTreeMap<u16, PathBuf> = BTreeMap::new();
    for entry in std::fs::read_dir(dir)?.flatten() {
        if let (Some(first), Ok(owner)) =
            (entry.file_name().to_str().and_then(|name| name.parse().ok()), std::fs::read_link(entry.path()))
        {
            taken.insert(first, owner);
        }
    }
    if let Some((first, _)) = taken.iter().find(|(_, owner)| *owner == lane) {
        return Ok(Some(*first));
    }
    for first in (RANGE.0..RANGE.1).step_by(PER_LANE.into()) {
        // A lane that is gone leaves its ports to others.
        let owner = taken.get(&first);
        if owner.is_some_and(|owner| owner.exists()) || !all_free(first) {
            continue;
        }
        let link = dir.join(first.to_string());
        if owner.is_some() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink(lane, &link)?;
        return Ok(Some(first));
    }
    Ok(None)
}

/// Whether nobody listens at any of them now.
fn all_free(first: u16) -> bool {
    (first..first + PER_LANE).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_has_ports_of_its_own_and_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let lane = |name: &str| {
            let lane = dir.path().join(name);
            std::fs::create_dir_all(&lane).unwrap();
            lane
        };
        let ports = dir.path().join("ports");
        let of = |lane: &Path| of_lane(&ports, lane).unwrap().unwrap();
        let (one, two) = (lane("a/L-1"), lane("b/L-1"));
        let (first, second) = (of(&one), of(&two));
        assert!(first.abs_diff(second) >= PER_LANE, "{first} and {second} overlap");
        assert_eq!((of(&one), of(&two)), (first, second));
        // A port that somebody listens at is nobody's.
        std::fs::remove_dir(&one).unwrap();
        let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, first + 3)).unwrap();
        let three = lane("c/L-1");
        assert_ne!(of(&three), first);
        drop(busy);
        // The ports of a lane that is gone are given out again.
        assert_eq!(of(&lane("c/L-2")), first);
    }
}
