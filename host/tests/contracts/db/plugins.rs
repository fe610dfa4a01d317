//! Installed plugins.

use greenroom::ports::db::{Plugins, StoredPlugin};

fn plugin(name: &str, version: &str, digest: &str) -> StoredPlugin {
    StoredPlugin {
        name: name.into(),
        version: version.parse().unwrap(),
        digest: digest.into(),
        wasm: vec![0, b'a', b's', b'm', 255],
        installed_at_ms: 1_750_000_000_000,
        problem_code_base: 0,
    }
}

pub async fn a_version_is_installed_once_and_keeps_its_range_of_codes(db: &dyn Plugins) {
    assert_eq!(db.install(&plugin("gift", "1.0.0", "aa")).await.unwrap(), Some(50_000));
    assert_eq!(db.install(&plugin("lottery", "0.1.0", "bb")).await.unwrap(), Some(51_000));
    assert_eq!(db.install(&plugin("gift", "1.1.0", "cc")).await.unwrap(), Some(50_000));
    assert_eq!(db.install(&plugin("gift", "1.0.0", "aa")).await.unwrap(), Some(50_000));
    assert_eq!(db.install(&plugin("gift", "1.0.0", "dd")).await.unwrap(), None);
    assert_eq!(db.installed().await.unwrap().len(), 3);

    assert!(db.remove("lottery", &"0.1.0".parse().unwrap()).await.unwrap());
    assert!(!db.remove("lottery", &"0.1.0".parse().unwrap()).await.unwrap());
    assert_eq!(db.install(&plugin("voting", "1.0.0", "ee")).await.unwrap(), Some(52_000));
    assert_eq!(db.install(&plugin("lottery", "0.1.0", "ff")).await.unwrap(), Some(51_000));
}

pub async fn plugins_are_listed_by_name_and_version(db: &dyn Plugins) {
    for (name, version) in [("voting", "1.0.0"), ("gift", "1.10.0"), ("gift", "1.9.0"), ("gift", "1.10.0-beta.1")] {
        db.install(&plugin(name, version, "aa")).await.unwrap();
    }
    let installed = db.installed().await.unwrap();
    let listed: Vec<_> = installed.iter().map(|p| format!("{} {}", p.name, p.version)).collect();
    assert_eq!(listed, ["gift 1.9.0", "gift 1.10.0-beta.1", "gift 1.10.0", "voting 1.0.0"]);
    let expected = StoredPlugin { problem_code_base: 51_000, ..plugin("gift", "1.9.0", "aa") };
    assert_eq!(installed[0], expected);
}
