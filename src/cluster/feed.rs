//! How the watches ask: for no more of an object than is read, and, where that is wanted, for everything that there is
//! in one answer, which is handed on object by object as it comes.
//!
//! Stands between the watcher and the client. The watcher asks for everything as a streaming list; that is answered by a
//! plain list out of the API server's memory (resourceVersion=0), which every version of Kubernetes serves, and which
//! takes it no longer than a streaming list, of built-in kinds half as long. So nothing larger than an object is ever
//! held here, however many there are, and resuming, pausing and starting over stay the watcher's.
//!
//! Recommendations come as a table, whose rows say all that new pods are judged by (docs/decisions/0007); where a row
//! does not, its object is asked for, and where the table does not, all objects are.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream;
use http::header::{ACCEPT, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use kube::{Client, Resource};
use serde_json::value::RawValue;

use super::Connection;
use super::listed::{BEGIN, END, Listed};
use super::rows::{Incomplete, Rows};
use crate::api::Recommendation;

/// Objects without spec and status, of whatever kind.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
/// The same of a list of them.
const METADATA_LIST: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
/// A table of a list: what its definition's columns say.
const TABLE: HeaderValue = HeaderValue::from_static("application/json;as=Table;g=meta.k8s.io;v=v1");
/// What the watcher says where it wants everything that there is first.
const EVERYTHING_FIRST: &str = "sendInitialEvents=true";
/// Everything that there is, not older than anything: what the API server has in memory.
const LIST: &str = "resourceVersion=0";

/// And nothing beside the columns.
const COLUMNS_ALONE: &str = "&includeObject=None";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Whole objects.
    Whole,
    /// Their metadata.
    Metadata,
    /// Of Recommendations, where everything is wanted first, what new pods are judged by; whole ones afterwards.
    Sizes,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Answer = UnsyncBoxBody<Bytes, Failure>;

/// A client for watches, which asks for so much of each object.
pub(super) fn client(connection: &Connection, extent: Extent) -> Client {
    let client = connection.client.clone();
    let no_table = Arc::new(AtomicBool::new(false));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, no_table) = (client.clone(), Arc::clone(&no_table));
        async move { ask(&client, request, extent, no_table).await }
    });
    Client::new(service, connection.default_namespace.clone())
}

/// `no_table` says that the last table was of no use: then whole objects are asked for once.
async fn ask(
    client: &Client,
    mut request: Request<Body>,
    extent: Extent,
    no_table: Arc<AtomicBool>,
) -> kube::Result<Response<Answer>> {
    let wants_all = wants_everything_first(request.uri());
    let table = extent == Extent::Sizes && wants_all && !no_table.swap(false, Ordering::Relaxed);
    if wants_all && let Some(uri) = as_list(request.uri(), if table { COLUMNS_ALONE } else { "" }) {
        *request.uri_mut() = uri;
    }
    let accept = match extent {
        Extent::Metadata => Some(if is_watch(request.uri()) { METADATA } else { METADATA_LIST }),
        Extent::Sizes if table => Some(TABLE),
        Extent::Sizes | Extent::Whole => None,
    };
    if let Some(accept) = accept {
        request.headers_mut().insert(ACCEPT, accept);
    }
    let answer = client.send(request).await?;
    match (table, answer.status().is_success()) {
        (true, true) => Ok(answer.map(|body| rows(client.clone(), body, no_table))),
        (false, true) if wants_all => Ok(answer.map(events)),
        _ => {
            if table && answer.status() == StatusCode::NOT_ACCEPTABLE {
                no_table.store(true, Ordering::Relaxed);
            }
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        }
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

fn wants_everything_first(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == EVERYTHING_FIRST))
}

/// The list that has what such a watch would tell first.
fn as_list(watch: &Uri, more: &str) -> Option<Uri> {
    let mut parts = watch.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{}?{LIST}{more}", watch.path())).ok()?);
    Uri::from_parts(parts).ok()
}

/// A table's text, as the events of a watch, which ends with the table.
fn rows(client: Client, body: Body, no_table: Arc<AtomicBool>) -> Answer {
    let events = stream::try_unfold((body, Rows::default()), move |(mut body, mut rows)| {
        let (client, no_table) = (client.clone(), Arc::clone(&no_table));
        async move {
            let lines = read_rows(&client, &mut body, &mut rows).await;
            no_table.store(lines.is_err(), Ordering::Relaxed);
            Ok::<_, Failure>(lines?.map(|lines| (Frame::data(Bytes::from(lines)), (body, rows))))
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(events))
}

/// The next lines; `None` after the last.
async fn read_rows(client: &Client, body: &mut Body, rows: &mut Rows) -> Result<Option<Vec<u8>>, Failure> {
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let mut lines = Vec::with_capacity(data.len());
        for incomplete in rows.read(&data, &mut lines)? {
            whole(client, &incomplete, &mut lines).await?;
        }
        lines.extend(rows.end());
        if !lines.is_empty() {
            return Ok(Some(lines));
        }
    }
    if rows.is_whole() { Ok(None) } else { Err(io::Error::other("the table ended before its end").into()) }
}

/// The line of an object that is asked for by itself; none where it is gone meanwhile, as the watch will tell.
async fn whole(client: &Client, one: &Incomplete, lines: &mut Vec<u8>) -> Result<(), Failure> {
    let path = format!("{}/{}", Recommendation::url_path(&(), Some(&one.namespace)), one.name);
    let answer = client.send(Request::get(path).body(Body::empty())?).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(());
    }
    if !answer.status().is_success() {
        let words = format!("asked for Recommendation {}/{}: {}", one.namespace, one.name, answer.status());
        return Err(io::Error::other(words).into());
    }
    let text = answer.into_body().collect().await?.to_bytes();
    let object: &RawValue = serde_json::from_slice(&text)?;
    lines.extend_from_slice(BEGIN);
    lines.extend(object.get().bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    lines.extend_from_slice(END);
    Ok(())
}

/// A list's text, as the events of a watch, which ends with the list.
fn events(body: Body) -> Answer {
    let begin = (body, Listed::default());
    let events = stream::try_unfold(begin, |(mut body, mut listed)| async move {
        loop {
            let Some(frame) = body.frame().await else {
                let cut = || io::Error::other("the list ended before its end");
                return if listed.is_whole() { Ok(None) } else { Err(cut().into()) };
            };
            let Ok(data) = frame?.into_data() else { continue };
            let mut lines = Vec::with_capacity(data.len() + data.len() / 8);
            listed.read(&data, &mut lines)?;
            if !lines.is_empty() {
                return Ok(Some((Frame::data(Bytes::from(lines)), (body, listed))));
            }
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(events))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn only_who_wants_everything_first_is_given_a_list() {
        let begin = "/apis/apps/v1/statefulsets?&watch=true&timeoutSeconds=290&allowWatchBookmarks=true\
                     &resourceVersionMatch=NotOlderThan&sendInitialEvents=true&resourceVersion=0";
        let list = as_list(&begin.parse().unwrap(), "").unwrap();
        assert_eq!(list, "/apis/apps/v1/statefulsets?resourceVersion=0");
        let whole: Uri = format!("https://127.0.0.1:6443{begin}").parse().unwrap();
        let list = as_list(&whole, COLUMNS_ALONE).unwrap();
        let expected =
            "https://127.0.0.1:6443/apis/apps/v1/statefulsets?resourceVersion=0&includeObject=None";
        assert_eq!(list, expected);
        assert!(is_watch(&whole) && !is_watch(&list));
        for other in ["/api/v1/pods", "/api/v1/pods?limit=500", "/api/v1/pods?watch=true&resourceVersion=7"] {
            assert!(!wants_everything_first(&other.parse().unwrap()));
        }
    }

    /// An API server with two Recommendations, one of which is from a time before the sizes in one line; what it is
    /// asked is noted. Its tables have the columns that are given.
    fn server(columns: &'static str, asked: &Arc<Mutex<Vec<String>>>) -> Client {
        const METADATA: &str = r#""metadata":{"resourceVersion":"7"}"#;
        let asked = Arc::clone(asked);
        let service = tower::service_fn(move |request: Request<Body>| {
            let is_table = request.headers().get(ACCEPT).is_some_and(|accept| *accept == TABLE);
            let path = request.uri().path().to_owned();
            let object = |name: &str| format!(r#"{{"metadata":{{"name":"{name}","namespace":"shop"}}}}"#);
            let row = |name: &str, sizes: &str| {
                format!(
                    r#"{{"cells":["{name}","Auto","v1","Pod","web","shop",null,null,{sizes}],"object":null}}"#
                )
            };
            let text = if path.ends_with("/old") {
                format!("{}\n", object("old whole"))
            } else if is_table {
                let rows = [row("old", "null"), row("new", "\"app cpu=1\"")].join(",");
                format!(r#"{{{METADATA},"columnDefinitions":{columns},"rows":[{rows}]}}"#)
            } else {
                format!(r#"{{{METADATA},"items":[{}]}}"#, object("listed whole"))
            };
            asked.lock().unwrap().push(format!("{path}{}", if is_table { " as a table" } else { "" }));
            async move { Ok::<_, io::Error>(Response::new(Body::from(text.into_bytes()))) }
        });
        Client::new(service, "default")
    }

    async fn sizes(client: &Client, no_table: &Arc<AtomicBool>) -> Result<String, String> {
        let request = Request::get("/apis/plumb.dev/v1alpha1/recommendations?sendInitialEvents=true");
        let request = request.body(Body::empty()).unwrap();
        let answer = ask(client, request, Extent::Sizes, Arc::clone(no_table)).await.unwrap();
        let text = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(text.to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn what_a_table_does_not_say_is_asked_for() {
        const COLUMNS: &str = r#"[{"name":"Name"},{"name":"Mode"},{"name":"API Version"},{"name":"Kind"},
            {"name":"Workload"},{"name":"Workload Namespace"},{"name":"Rollback"},{"name":"New Pods"},
            {"name":"Sizes"}]"#;
        let (asked, no_table) = (Arc::default(), Arc::default());
        let text = sizes(&server(COLUMNS, &asked), &no_table).await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let [new, old, end] = *lines else { panic!("{text}") };
        assert!(new.contains(r#""cpu":"1""#) && old.contains("old whole"), "{text}");
        assert!(end.contains("initial-events-end"), "what is asked for comes before the end: {text}");
        const LIST: &str = "/apis/plumb.dev/v1alpha1/recommendations as a table";
        let one = "/apis/plumb.dev/v1alpha1/namespaces/shop/recommendations/old";
        assert_eq!(*asked.lock().unwrap(), [LIST, one]);
    }

    #[tokio::test]
    async fn a_definition_of_another_version_costs_a_list_of_all() {
        let (asked, no_table) = (Arc::default(), Arc::default());
        let server = server(r#"[{"name":"Name"}]"#, &asked);
        let error = sizes(&server, &no_table).await.unwrap_err();
        assert!(error.contains("no column Workload Namespace"), "{error}");
        let text = sizes(&server, &no_table).await.unwrap();
        assert!(text.contains("listed whole"), "{text}");
        // The next time, which may be long after, it may be the right version.
        assert!(sizes(&server, &no_table).await.is_err());
    }

    async fn told(chunks: &'static [&'static str]) -> Result<String, String> {
        let chunks =
            chunks.iter().map(|text| Ok::<_, io::Error>(Frame::data(Bytes::from_static(text.as_bytes()))));
        let service = tower::service_fn(move |_: Request<Body>| {
            let body = StreamBody::new(stream::iter(chunks.clone()));
            async move { Ok::<_, io::Error>(Response::new(body)) }
        });
        let client = Client::new(service, "default");
        let request =
            Request::get("/api/v1/pods?watch=true&sendInitialEvents=true").body(Body::empty()).unwrap();
        let answer = ask(&client, request, Extent::Whole, Arc::default()).await.unwrap();
        let text = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(text.to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_list_is_told_as_events_and_one_that_is_cut_fails() {
        const BEGIN: &str = r#"{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{"a":1}"#;
        let text = told(&[BEGIN, r#",{"a":[{}]}]}"#, "\n"]).await.unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..2],
            [r#"{"type":"ADDED","object":{"a":1}}"#, r#"{"type":"ADDED","object":{"a":[{}]}}"#]
        );
        assert!(lines[2].contains(r#""resourceVersion":"7""#) && lines.len() == 3, "{text}");
        assert_eq!(told(&[BEGIN]).await.unwrap_err(), "the list ended before its end");
        assert!(told(&["no list"]).await.unwrap_err().contains("no list"));
    }
}
