use std::path::Path;

use super::*;
use crate::model::Series;
use crate::testing::{self, NOW};
use crate::units::{Bytes, Cores};

fn series(seed: i64) -> Series {
    testing::series(Timestamp(1_700_000_000), 300, 600, |i| {
        let wave = (i * seed % 17) as f64;
        (Cores(0.1 + wave / 50.0), Bytes::from_mib(64 + (i * seed % 31).unsigned_abs()))
    })
}

fn all(count: usize) -> Vec<(String, Kept)> {
    let kinds: Vec<Series> = (1..8).map(series).collect();
    let kept = |i: usize| Kept {
        series: kinds[i % 7].clone(),
        last_kill: i.is_multiple_of(3).then_some(Timestamp(5)),
        ..Kept::default()
    };
    (0..count).map(|i| (format!("apps/v1|Deployment|shop|web-{i}|app"), kept(i))).collect()
}

fn entries<'a>(all: &'a [(String, Kept)], changed: impl Fn(usize) -> bool) -> Vec<Entry<'a>> {
    all.iter().enumerate().map(|(i, (key, kept))| Entry { key, kept, changed: changed(i) }).collect()
}

fn folder(path: &Path, shard: Shard) -> Checkpoints {
    Checkpoints::of(Store::Folder(Folder::new(path)), shard)
}

fn files(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_saved_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let all = all(2000);
    let mut checkpoints = folder(dir.path(), Shard::default());
    let error = checkpoints.save(&[], NOW).await.unwrap_err();
    assert!(matches!(error, CheckpointError::NotLoaded));
    assert_eq!(checkpoints.load().await.unwrap(), (Vec::new(), Vec::new()));
    let saved = checkpoints.save(&entries(&all, |_| true), NOW).await.unwrap();
    assert_eq!((saved.packs, saved.written, saved.removed), (2, 2, 0));
    assert!(saved.bytes < 2000 * 600, "{} bytes a series", saved.bytes / 2000);

    let mut again = folder(dir.path(), Shard::default());
    let (mut restored, problems) = again.load().await.unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    restored.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(restored.len(), 2000);
    let first = restored.iter().find(|r| r.key == all[0].0).unwrap();
    assert_eq!(first.kept.last_kill, Some(Timestamp(5)));
    assert_eq!(first.kept.series.samples(), all[0].1.series.samples());
    assert_eq!(first.kept.series.newest(), all[0].1.series.newest());
}

#[tokio::test]
async fn only_what_changed_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = all(2000);
    let mut checkpoints = folder(dir.path(), Shard::default());
    checkpoints.load().await.unwrap();
    checkpoints.save(&entries(&all, |_| true), NOW).await.unwrap();
    let idle = checkpoints.save(&entries(&all, |_| false), NOW.plus(600)).await.unwrap();
    assert_eq!((idle.packs, idle.written), (2, 0));
    // It may have changed, but it has not.
    let same = checkpoints.save(&entries(&all, |_| true), NOW.plus(600)).await.unwrap();
    assert_eq!(same.written, 0);
    all[7].1.series = series(9);
    let one = checkpoints.save(&entries(&all, |i| i == 7), NOW.plus(600)).await.unwrap();
    assert_eq!(one.written, 1);
    // One that is gone is a change too.
    all.remove(8);
    assert_eq!(checkpoints.save(&entries(&all, |_| false), NOW).await.unwrap().written, 1);
}

#[tokio::test]
async fn packs_grow_in_number_and_their_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let many = all(7000);
    let mut checkpoints = folder(dir.path(), Shard::default());
    checkpoints.load().await.unwrap();
    assert_eq!(checkpoints.save(&entries(&many[..100], |_| true), NOW).await.unwrap().packs, 1);
    let saved = checkpoints.save(&entries(&many, |_| true), NOW.plus(1)).await.unwrap();
    assert_eq!((saved.packs, saved.removed), (8, 1));
    assert_eq!(files(dir.path()).len(), 8);
    // A later process learns of them and replaces them; none is left over.
    let mut again = folder(dir.path(), Shard::default());
    assert_eq!(again.load().await.unwrap().0.len(), 7000);
    let saved = again.save(&entries(&many[..100], |_| true), NOW.plus(2)).await.unwrap();
    assert_eq!((saved.packs, files(dir.path()).len()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let all = all(3);
    let mut checkpoints = folder(dir.path(), Shard::default());
    checkpoints.load().await.unwrap();
    checkpoints.save(&entries(&all, |_| true), NOW).await.unwrap();
    let name = files(dir.path()).remove(0);
    let path = dir.path().join(&name);
    let good = std::fs::read(&path).unwrap();
    let mut newer = good.clone();
    newer[4] = 99;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for (bytes, word) in [
        (newer, "later version"),
        (flipped, "checksum"),
        (good[..good.len() / 2].to_vec(), "checksum"),
        (good[..6].to_vec(), "breaks off"),
        (Vec::new(), "does not begin"),
        (b"hello".to_vec(), "does not begin"),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let mut checkpoints = folder(dir.path(), Shard::default());
        let (restored, problems) = checkpoints.load().await.unwrap();
        let told = problems[0].to_string();
        assert!(restored.is_empty() && told.contains(word) && told.contains("set aside"), "{told}");
        checkpoints.save(&entries(&all, |_| true), NOW).await.unwrap();
        assert_eq!(folder(dir.path(), Shard::default()).load().await.unwrap().0.len(), 3);
        // What was in it is still there.
        let kept = files(dir.path()).iter().any(|f| std::fs::read(dir.path().join(f)).unwrap() == bytes);
        assert!(kept, "{word}");
    }
    assert_eq!(files(dir.path()).len(), 7);
}

#[tokio::test]
async fn shards_share_a_place_and_take_over_from_another_layout() {
    let dir = tempfile::tempdir().unwrap();
    let all = all(300);
    let mut alone = folder(dir.path(), Shard::default());
    alone.load().await.unwrap();
    alone.save(&entries(&all, |_| true), NOW).await.unwrap();
    let mut sum = 0;
    for ordinal in 0..3 {
        let mut one = folder(dir.path(), Shard { ordinal, count: 3 });
        let (restored, problems) = one.load().await.unwrap();
        assert!(problems.is_empty() && (60..140).contains(&restored.len()), "{}", restored.len());
        sum += restored.len();
        one.save(&entries(&all, |_| true), NOW.plus(1)).await.unwrap();
    }
    assert_eq!(sum, 300);
    let shard = Shard { ordinal: 1, count: 3 };
    let together = |name: &str| shard.has(&format!("{name}|app")) == shard.has(&format!("{name}|proxy"));
    assert!((0..50).all(|number| together(&format!("apps/v1|Deployment|shop|web-{number}"))));
    assert_eq!(files(dir.path()).len(), 4);
}

#[test]
fn places_read_as_they_are_written() {
    assert_eq!("configmaps".parse(), Ok(Place::ConfigMaps(None)));
    assert_eq!("configmaps:plumb".parse(), Ok(Place::ConfigMaps(Some("plumb".into()))));
    assert_eq!("file:/var/lib/plumb".parse(), Ok(Place::Folder("/var/lib/plumb".into())));
    assert_eq!("none".parse(), Ok(Place::None));
    for wrong in ["", "file:", "configmaps:", "secret:x", "/var/lib"] {
        assert!(wrong.parse::<Place>().unwrap_err().contains("file:FOLDER"));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let error = folder(Path::new("/proc/no/such"), Shard::default()).load().await.unwrap_err();
    assert!(error.to_string().contains("/proc/no/such"), "{error}");
}
