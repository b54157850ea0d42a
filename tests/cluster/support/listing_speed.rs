//! What each way of asking for everything takes the API server: docs/decisions/0007-known-at-the-start.md rests on it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http::Request;
use http::header::ACCEPT;
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use super::{Context, measured};

const RECOMMENDATIONS: &str = "/apis/plumb.dev/v1alpha1/recommendations";
const SETS: &str = "/apis/apps/v1/statefulsets";
const OUT_OF_MEMORY: &str = "?resourceVersion=0";
const COLUMNS_ALONE: &str = "?resourceVersion=0&includeObject=None";
const STREAM: &str = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0\
                      &allowWatchBookmarks=true&timeoutSeconds=60";
/// What ends the first part of a stream.
const END: &[u8] = b"k8s.io/initial-events-end";
const WHOLE: &str = "application/json";
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const TABLE: &str = "application/json;as=Table;g=meta.k8s.io;v=v1";
const TIMES: usize = 5;

/// Asks in each way, and prints the best and the middle one of some times.
pub async fn compare(context: &Context) -> Result<()> {
    let plane = &context.cluster.plane;
    let server = plane.run.pid(&format!("{}-kube-apiserver", plane.name))?;
    for (kind, path) in [("Recommendations", RECOMMENDATIONS), ("StatefulSets", SETS)] {
        for (way, query, accept) in [
            ("by pages of 500", "?limit=500", WHOLE),
            ("by pages of 2,500", "?limit=2500", WHOLE),
            ("as a stream", STREAM, WHOLE),
            ("one list out of memory", OUT_OF_MEMORY, WHOLE),
            ("metadata alone, out of memory", OUT_OF_MEMORY, METADATA),
            ("as a table with metadata, out of memory", OUT_OF_MEMORY, TABLE),
            ("as a table, out of memory", COLUMNS_ALONE, TABLE),
        ] {
            let mut took = Vec::new();
            for _ in 0..TIMES {
                let (begin, cpu) = (Instant::now(), measured::cpu_seconds(server)?);
                let bytes = everything(context, path, query, accept).await?;
                took.push((begin.elapsed(), measured::cpu_seconds(server)? - cpu, bytes));
                // What the API server clears up after one is not part of the next.
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            took.sort_unstable_by_key(|(took, ..)| *took);
            let show = |place: usize| {
                let (took, cpu, _) = took[place];
                format!("{:.2} s, {cpu:.2} s of CPU", took.as_secs_f64())
            };
            let size = took[0].2 >> 20;
            println!("{kind} {way}: best {}; middle {}; {size} MiB", show(0), show(TIMES / 2));
        }
    }
    Ok(())
}

/// Reads what is answered, and the pages that follow; answers how many bytes that was.
async fn everything(context: &Context, path: &str, query: &str, accept: &str) -> Result<usize> {
    let by_pages = query.contains("limit=");
    let (mut bytes, mut more) = (0, String::new());
    loop {
        let request = Request::get(format!("{path}{query}{more}")).header(ACCEPT, accept);
        let mut body = context.client().send(request.body(Body::empty())?).await?.into_body();
        let mut page = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            bytes += data.len();
            if by_pages {
                page.extend_from_slice(&data);
            } else if query == STREAM {
                // Its end may be cut in two by where the pieces end.
                page.drain(..page.len().saturating_sub(END.len()));
                page.extend_from_slice(&data);
                if page.windows(END.len()).any(|part| part == END) {
                    return Ok(bytes);
                }
            }
        }
        if !by_pages {
            return Ok(bytes);
        }
        let list: Value = serde_json::from_slice(&page).context("a page that is no JSON")?;
        match list["metadata"]["continue"].as_str() {
            Some(token) if !token.is_empty() => more = format!("&continue={token}"),
            _ => return Ok(bytes),
        }
    }
}
