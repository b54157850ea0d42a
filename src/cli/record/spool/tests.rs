use super::*;
use crate::testing::container_name;

fn sample(at: i64) -> Sample {
    Sample { at: Timestamp(at), cpu: Some(Cores(0.25)), memory: Some(Bytes(1 << 20)) }
}

#[test]
fn a_second_run_goes_on_where_the_first_was_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("usage.csv");
    let mut spool = Spool::open(&out).unwrap();
    spool.append(&container_name("b"), [sample(60), sample(120)].into_iter()).unwrap();
    spool.append(&container_name("a"), [sample(60)].into_iter()).unwrap();
    spool
        .set_requests(&container_name("a"), Requests { cpu: Some(Cores(0.5)), memory: Some(Bytes(1 << 30)) })
        .unwrap();
    let file = spool.containers["shop/b/app"].file.clone();
    spool.set_complete(Timestamp(100)).unwrap();
    drop(spool);
    // A crash in the middle of a line.
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"shop/b/app,18").unwrap();

    let mut spool = Spool::open(&out).unwrap();
    assert_eq!(spool.complete(), Some(Timestamp(100)));
    assert!(spool.knows_requests(&container_name("a")) && !spool.knows_requests(&container_name("b")));
    spool.append(&container_name("b"), [sample(120), sample(180)].into_iter()).unwrap();
    let written = spool.assemble(&out).unwrap();
    assert_eq!((written.containers, written.samples), (2, 4));
    assert_eq!(
        fs::read_to_string(&out).unwrap(),
        "container_id,timestamp_s,cpu_cores,memory_bytes\n\
         shop/a/app,60,0.250000,1048576\n\
         shop/b/app,60,0.250000,1048576\nshop/b/app,120,0.250000,1048576\nshop/b/app,180,0.250000,1048576\n"
    );
    let meta = fs::read_to_string(dir.path().join("usage.meta.csv")).unwrap();
    assert_eq!(
        meta,
        "container_id,alloc_cpu_cores,alloc_memory_bytes\nshop/a/app,0.5,1073741824\nshop/b/app,,\n"
    );
}

#[test]
fn a_file_without_a_whole_line_is_as_if_it_had_never_been() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("usage.csv.gz");
    fs::create_dir(dir.path().join("usage.csv.gz.parts")).unwrap();
    fs::write(dir.path().join("usage.csv.gz.parts/0123.csv"), "shop/x").unwrap();
    let spool = Spool::open(&out).unwrap();
    assert_eq!(spool.assemble(&out).unwrap().containers, 0);
    assert!(fs::read(&out).unwrap().starts_with(&[0x1f, 0x8b]), "compressed by its name");
}

#[test]
fn a_sample_seen_twice_counts_once_and_an_empty_one_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("t.csv");
    let mut spool = Spool::open(&out).unwrap();
    let empty = Sample { at: Timestamp(90), cpu: None, memory: None };
    spool.append(&container_name("a"), [sample(60), sample(60), sample(30), empty].into_iter()).unwrap();
    assert_eq!(spool.assemble(&out).unwrap().samples, 1);
}
