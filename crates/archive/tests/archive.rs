//! Files and manifests in a folder, and in a store that breaks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use vigie_archive::{
    Archive, ArchiveError, Archived, Content, FileWriter, Finished, Location, Manifest, Row, Span, read_rows,
};
use vigie_clock::Timestamp;
use vigie_schemas::{AssetMention, Lineage, RawPost, ScoredPost};

const TOPIC: &str = "posts.raw.v1";
const START: i64 = 1_800_000_000_000;

fn post(n: i64) -> RawPost {
    RawPost {
        post_id: format!("reddit:{n}"),
        source: "r-bitcoin".to_owned(),
        kind: "reddit".to_owned(),
        url: (n % 2 == 0).then(|| format!("https://example.org/{n}")),
        title: (n % 3 == 0).then(|| "Ein Titel: über \u{1F680}".to_owned()),
        text: "x".repeat(usize::try_from(n % 50).unwrap()),
        published_at: Timestamp::from_millis(START - n * 1000),
        published_at_estimated: n % 7 == 0,
        fetched_at: Timestamp::from_millis(START),
        sample: n % 5 == 0,
        edited_at: (n % 4 == 0).then(|| Timestamp::from_millis(START + n)),
        author_id: Some(format!("{:032x}", n % 10)),
        author_sealed: (n % 2 == 1).then(|| vec![0, 255, 1]),
        ..RawPost::default()
    }
}

/// With lists of no, one and more elements, of which parts may be null.
fn scored(n: i64) -> ScoredPost {
    let score = f64::from(i32::try_from(n).unwrap()) / 7.0;
    let mention = |k: i64| AssetMention {
        asset: format!("A{k}"),
        evidence: "ticker".to_owned(),
        label: (k % 2 == 0).then(|| "negative".to_owned()),
        score: (k % 3 == 0).then_some(-score),
    };
    let RawPost { post_id, source, kind, url, title, text, published_at, fetched_at, sample, author_sealed, .. } =
        post(n);
    ScoredPost {
        post_id,
        source,
        kind,
        url,
        author_id: (n % 6 == 0).then(|| format!("{:032x}", n % 10)),
        title,
        excerpt: text,
        published_at,
        fetched_at,
        scored_at: Timestamp::from_millis(START + 5),
        language: Some("en".to_owned()),
        label: (n % 2 == 0).then(|| "positive".to_owned()),
        score: (n % 2 == 0).then_some(score),
        p_negative: (n % 2 == 0).then_some(0.1),
        p_neutral: (n % 3 == 0).then_some(0.2),
        p_positive: (n % 4 == 0).then_some(0.7),
        unscored_reason: (n % 2 == 1).then(|| "language".to_owned()),
        assets: (0..n % 5).map(mention).collect(),
        sample,
        lineage: Lineage {
            run_id: "live".to_owned(),
            model_name: "words".to_owned(),
            model_version: "1".to_owned(),
            model_sha256: "00".to_owned(),
            assets_version: "2".to_owned(),
            input_topic: TOPIC.to_owned(),
            input_partition: 3,
            first_offset: n,
            last_offset: n + 1,
        },
        revision: 2,
        fingerprint: (n % 3 > 0).then_some(n << 40),
        spam_score: Some(0.25),
        spam_reasons: ["promotion", "link_only"].into_iter().take((n % 3) as usize).map(str::to_owned).collect(),
        deleted_at: (n % 11 == 0).then(|| Timestamp::from_millis(START + n)),
        author_sealed,
    }
}

fn row(offset: i64) -> Row<RawPost> {
    row_of(offset, post)
}

fn row_of<R>(offset: i64, post: fn(i64) -> R) -> Row<R> {
    let content = match offset % 10 {
        8 => Content::Deleted(format!("reddit:{offset}")),
        9 => Content::Undecoded { key: Some(Bytes::from_static(b"\xff")), value: Some(Bytes::from_static(b"no avro")) },
        _ => Content::Post(Box::new(post(offset))),
    };
    Row { partition: 3, offset, appended_at: Timestamp::from_millis(START + offset), content }
}

fn file<R: Archived>(rows: &[Row<R>]) -> Finished {
    let mut writer = FileWriter::new().unwrap();
    rows.iter().for_each(|row| writer.push(row.clone()).unwrap());
    writer.finish().unwrap().unwrap()
}

fn rows<R: Archived>(bytes: Bytes) -> Vec<Row<R>> {
    read_rows("file", bytes).unwrap().map(Result::unwrap).collect()
}

#[test]
fn rows_come_back_from_a_file_as_they_were_over_several_row_groups() {
    let written: Vec<_> = (0..120_000).map(row).collect();
    let finished = file(&written);
    assert_eq!(finished.records, 120_000);
    assert_eq!(finished.appended, (written[0].appended_at, written[119_999].appended_at));
    assert_eq!(rows(finished.bytes), written);
    let odd =
        [None, Some(Bytes::new())].map(|value| Row { content: Content::Undecoded { key: None, value }, ..row(0) });
    assert_eq!(rows::<RawPost>(file(&odd).bytes), odd, "no value is not an empty one");
    let written: Vec<_> = (0..1_000).map(|offset| row_of(offset, scored)).collect();
    assert!(rows(file(&written).bytes) == written, "lists and all");
    assert!(FileWriter::<RawPost>::new().unwrap().finish().unwrap().is_none());
}

#[tokio::test]
async fn a_file_counts_once_its_manifest_is_committed_and_of_two_writers_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let location = Location::Folder(folder.path().join("new"));
    let [first, second] = [Archive::open(&location).unwrap(), Archive::open(&location).unwrap()];
    assert_eq!(first.load(TOPIC, 3).await.unwrap(), None);

    let span = Span { first_offset: 0, next_offset: 10 };
    let written: Vec<_> = (0..10).map(row).collect();
    let manifest = async |archive: &Archive| {
        let mut manifest = Manifest::starting_at(TOPIC, 3, 0);
        manifest.add(archive.put(TOPIC, 3, span, file(&written)).await.unwrap());
        manifest
    };
    let (mine, theirs) = (manifest(&first).await, manifest(&second).await);
    assert_eq!(first.load(TOPIC, 3).await.unwrap(), None, "a file alone is nothing");
    let stored = first.commit(None, mine.clone()).await.unwrap();
    let error = second.commit(None, theirs.clone()).await.unwrap_err();
    assert!(matches!(error, ArchiveError::Conflict { version: 1, .. }), "{error}");
    assert_eq!(second.load(TOPIC, 3).await.unwrap().as_ref(), Some(&stored));
    assert_eq!((stored.version, &stored.manifest), (1, &mine));
    assert_eq!(second.partitions(TOPIC).await.unwrap(), [3]);
    assert_eq!(rows(second.get(&mine.files[0]).await.unwrap()), written);

    // Only what no manifest names goes, and only when it is old enough.
    assert_eq!(first.clean(&stored, Timestamp::from_millis(0)).await.unwrap(), 0);
    assert_eq!(first.clean(&stored, Timestamp::from_millis(i64::MAX)).await.unwrap(), 1);
    assert!(first.get(&mine.files[0]).await.is_ok());
    let error = first.get(&theirs.files[0]).await.unwrap_err();
    assert!(error.to_string().ends_with("the file is missing"), "{error}");

    std::fs::write(folder.path().join("new").join(&mine.files[0].path), "other").unwrap();
    let error = first.get(&mine.files[0]).await.unwrap_err();
    assert!(error.to_string().contains("SHA-256 is"), "{error}");
}

#[tokio::test]
async fn old_manifests_go_and_one_of_a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
    let archive = Archive::on(store, "below/here");
    let mut stored = archive.commit(None, Manifest::starting_at(TOPIC, 0, 0)).await.unwrap();
    for _ in 0..40 {
        stored = archive.commit(Some(&stored), stored.manifest.clone()).await.unwrap();
    }
    archive.clean(&stored, Timestamp::from_millis(0)).await.unwrap();
    let manifests = folder.path().join("below/here").join(TOPIC).join("_manifest/0");
    assert_eq!(std::fs::read_dir(manifests).unwrap().count(), 16);
    assert_eq!(archive.load(TOPIC, 0).await.unwrap().as_ref(), Some(&stored));

    let later = Manifest { format: 2, ..stored.manifest.clone() };
    archive.commit(Some(&stored), later).await.unwrap();
    let error = archive.load(TOPIC, 0).await.unwrap_err().to_string();
    assert!(error.ends_with("format 2 of posts.raw.v1-0, expected up to 1 of its folder"), "{error}");
}
