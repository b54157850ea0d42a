//! How the watches ask: for no more of an object than is read, and, where that is wanted, for everything that there is
//! in one answer, which is handed on object by object as it comes.
//!
//! Stands between the watcher and the client. The watcher asks for everything as a streaming list; that is answered by a
//! plain list out of the API server's memory (resourceVersion=0), which every version of Kubernetes serves, and which
//! takes it no longer than a streaming list, of built-in kinds half as long. So nothing larger than an object is ever
//! held here, however many there are, and resuming, pausing and starting over stay the watcher's.

use std::io;

use futures::stream;
use http::header::{ACCEPT, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;

use super::Connection;
use super::listed::Listed;

/// Objects without spec and status, of whatever kind.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
/// The same of a list of them.
const METADATA_LIST: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
/// What the watcher says where it wants everything that there is first.
const EVERYTHING_FIRST: &str = "sendInitialEvents=true";
/// Everything that there is, not older than anything: what the API server has in memory.
const LIST: &str = "resourceVersion=0";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Whole objects.
    Whole,
    /// Their metadata.
    Metadata,
}

type Answer = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A client for watches, which asks for so much of each object.
pub(super) fn client(connection: &Connection, extent: Extent) -> Client {
    let client = connection.client.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move { ask(&client, request, extent).await }
    });
    Client::new(service, connection.default_namespace.clone())
}

async fn ask(client: &Client, mut request: Request<Body>, extent: Extent) -> kube::Result<Response<Answer>> {
    let list = as_list(request.uri());
    let is_list = list.is_some() || !is_watch(request.uri());
    if let Some(uri) = list.clone() {
        *request.uri_mut() = uri;
    }
    if extent == Extent::Metadata {
        request.headers_mut().insert(ACCEPT, if is_list { METADATA_LIST } else { METADATA });
    }
    let answer = client.send(request).await?;
    if list.is_some() && answer.status().is_success() {
        return Ok(answer.map(events));
    }
    Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

/// The list that has what a watch would tell first; `None` where it is to tell only what happens.
fn as_list(uri: &Uri) -> Option<Uri> {
    uri.query().filter(|query| query.split('&').any(|pair| pair == EVERYTHING_FIRST))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{}?{LIST}", uri.path())).ok()?);
    Uri::from_parts(parts).ok()
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
    use super::*;

    #[test]
    fn only_who_wants_everything_first_is_given_a_list() {
        let begin = "/apis/apps/v1/statefulsets?&watch=true&timeoutSeconds=290&allowWatchBookmarks=true\
                     &resourceVersionMatch=NotOlderThan&sendInitialEvents=true&resourceVersion=0";
        let list = as_list(&begin.parse().unwrap()).unwrap();
        assert_eq!(list, "/apis/apps/v1/statefulsets?resourceVersion=0");
        let whole: Uri = format!("https://127.0.0.1:6443{begin}").parse().unwrap();
        let list = as_list(&whole).unwrap();
        assert_eq!(list, "https://127.0.0.1:6443/apis/apps/v1/statefulsets?resourceVersion=0");
        assert!(is_watch(&whole) && !is_watch(&list));
        for other in ["/api/v1/pods", "/api/v1/pods?limit=500", "/api/v1/pods?watch=true&resourceVersion=7"] {
            assert_eq!(as_list(&other.parse().unwrap()), None);
        }
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
        let answer = ask(&client, request, Extent::Whole).await.unwrap();
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
