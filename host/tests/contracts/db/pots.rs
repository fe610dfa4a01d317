//! Pots of plugins.

use greenroom::domain::UserId;
use greenroom::ports::db::Pots;

pub async fn a_name_is_one_pot_for_ever_and_each_plugin_has_its_own(db: &dyn Pots) {
    assert_eq!(db.pot("lottery", "draw").await.unwrap(), None);
    let pot = db.make_pot("lottery", "draw").await.unwrap();
    assert!(pot.pot().is_some_and(|number| number >= 1), "{pot}");
    assert_eq!(db.make_pot("lottery", "draw").await.unwrap(), pot);
    assert_eq!(db.pot("lottery", "draw").await.unwrap(), Some(pot));
    let other = db.make_pot("packet", "draw").await.unwrap();
    let second = db.make_pot("lottery", "Draw").await.unwrap();
    assert!(pot != other && other != second && second != pot, "{pot} {other} {second}");
    assert_eq!(db.owner_of(pot).await.unwrap().as_deref(), Some("lottery"));
    assert_eq!(db.owner_of(other).await.unwrap().as_deref(), Some("packet"));
    for nobody in [UserId(5), UserId::MINT, UserId::PLATFORM, UserId(-1_999_999), UserId(i64::MIN)] {
        assert_eq!(db.owner_of(nobody).await.unwrap(), None, "{nobody}");
    }
}

pub async fn a_pot_that_many_make_at_once_is_made_once(db: &dyn Pots) {
    let made = futures::future::join_all((0..16).map(|_| db.make_pot("quiz", "pot"))).await;
    let first = *made[0].as_ref().unwrap();
    assert!(made.iter().all(|pot| *pot.as_ref().unwrap() == first), "{made:?}");
}
