mod tls;

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn answer(text: &str) -> Result<Vec<Series>, String> {
    answer::parse(text.as_bytes()).map(|(series, _)| series)
}

#[test]
fn a_matrix_is_read_and_what_is_not_finite_left_out() {
    let series = answer(
        r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"namespace":"shop","pod":"web-0","container":"app","extra":"x"},
             "values":[[1700000000,"0.25"],[1700000060.4,"NaN"],[1700000120,"+Inf"],[1700000180,"1e-3"]]},
            {"metric":{},"values":[]}]},"warnings":["partial"]}"#,
    )
    .unwrap();
    assert_eq!(series[0].container(&LabelNames::default()).unwrap().to_string(), "shop/web-0/app");
    let points: Vec<_> = series[0].points().collect();
    assert_eq!(points, [(Timestamp(1_700_000_000), 0.25), (Timestamp(1_700_000_180), 0.001)]);
    assert_eq!(series[1].container(&LabelNames::default()), None);
}

#[test]
fn an_instant_is_read() {
    let series =
        answer(r#"{"status":"success","data":{"result":[{"metric":{},"value":[5,"42"]}]}}"#).unwrap();
    assert_eq!(series[0].points().collect::<Vec<_>>(), [(Timestamp(5), 42.0)]);
}

#[test]
fn garbage_is_an_error_in_words() {
    for text in [
        "",
        "<html>",
        "{}",
        "[]",
        r#"{"status":"success"}"#,
        r#"{"status":"success","data":{"result":5}}"#,
        r#"{"status":"success","data":{"result":[{"metric":{},"value":[5,"x"]}]}}"#,
        r#"{"status":"success","data":{"result":[{"metric":{},"values":[[5]]}]}}"#,
        r#"{"status":"success","data":{"result":[{"metric":{},"#,
    ] {
        assert!(!answer(text).unwrap_err().is_empty(), "{text}");
    }
    let error =
        answer(r#"{"status":"error","errorType":"bad_data","error":"parse error at char 3"}"#).unwrap_err();
    assert_eq!(error, "parse error at char 3");
    assert_eq!(answer::error_text(b"<html>\n  bad   gateway </html>"), "<html> bad gateway </html>");
}

#[test]
fn a_range_is_asked_for_in_bounded_pieces_that_leave_no_point_out() {
    let whole = Range::last(14 * 86_400, 60, Timestamp(1_700_000_042));
    assert_eq!((whole.start.0 % 60, whole.end, whole.points()), (0, Timestamp(1_699_999_980 + 60), 20_161));
    for series in [0, 1, 50, 1000, 3_000_000] {
        let mut left = whole;
        while let Some(piece) = left.first_piece(series, MAX_SAMPLES) {
            assert_eq!(piece.start, left.start);
            let points = piece.points().unsigned_abs();
            assert!(points <= 11_000 && (points == 1 || points * series <= MAX_SAMPLES));
            left.start = piece.end.plus(60);
        }
        assert!(left.start > whole.end && left.start <= whole.end.plus(60));
    }
}

fn refused(options: &PrometheusOptions) -> String {
    Prometheus::open(options).unwrap_err().to_string()
}

#[test]
fn addresses_and_files_that_cannot_be_used_are_named() {
    let at = PrometheusOptions::at;
    assert!(refused(&at("prometheus:9090")).contains("http://prometheus.monitoring:9090"));
    assert!(refused(&at("ftp://x")).contains("must begin with http"));
    let file = || Some(PathBuf::from("/no/such/file"));
    for options in [
        PrometheusOptions { prometheus_token_file: file(), ..at("http://x") },
        PrometheusOptions {
            prometheus_user: Some("u".into()),
            prometheus_password_file: file(),
            ..at("http://x")
        },
        PrometheusOptions { prometheus_ca: file(), ..at("http://x") },
        PrometheusOptions { prometheus_cert: file(), prometheus_key: file(), ..at("http://x") },
    ] {
        assert!(refused(&options).contains("/no/such/file"), "{}", refused(&options));
    }
}

#[test]
fn no_secret_is_shown() {
    let url = "ftp://me:hunter2@prometheus";
    assert!(!refused(&PrometheusOptions::at(url)).contains("hunter2"));
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\u{1}").unwrap();
    let options =
        PrometheusOptions { prometheus_token_file: Some(token.clone()), ..PrometheusOptions::at("http://x") };
    assert!(!refused(&options).contains("hunter2"));
    std::fs::write(&token, b"hunter2\xff").unwrap();
    assert!(!refused(&options).contains("hunter2"));
    let header: Header = "Authorization: hunter2".parse().unwrap();
    assert_eq!(format!("{header:?}"), "authorization: (hidden)");
    let options = PrometheusOptions {
        prometheus_header: vec![header],
        ..PrometheusOptions::at("http://me:hunter2@127.0.0.1:9")
    };
    let prometheus = Prometheus::open(&options).unwrap().unwrap();
    assert_eq!(prometheus.url(), "http://127.0.0.1:9");
}

/// A server that answers each connection with the next of some texts, the last one for ever, and keeps what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<String> = answers.iter().map(|&text| text.to_owned()).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0_u8; 8192];
                let length = stream.read(&mut request).await.unwrap();
                log.lock().unwrap().push(String::from_utf8_lossy(&request[..length]).into_owned());
                let answer = answers[number.min(answers.len() - 1)].clone();
                if answer == "silence" {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                        drop(stream);
                    });
                    continue;
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, asked }
    }

    fn prometheus(&self) -> Prometheus {
        let options = PrometheusOptions { prometheus_timeout: 1, ..PrometheusOptions::at(&self.url) };
        Prometheus::open(&options).unwrap().unwrap()
    }

    fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

const ONE: &str = r#"{"status":"success","data":{"result":[{"metric":{"pod":"a"},"value":[5,"42"]}]}}"#;

#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"status\":\"succ";
    for trouble in [http(500, "boom"), http(503, "<html>starting</html>"), http(429, ""), half.to_owned()] {
        let server = Server::start(&[&trouble, &http(200, ONE)]).await;
        let series = server.prometheus().instant("up", Timestamp(5)).await.unwrap();
        assert_eq!((series.len(), server.times_asked()), (1, 2), "{trouble}");
    }
}

#[tokio::test]
async fn what_stays_is_an_error_in_words() {
    let bad = http(400, r#"{"status":"error","errorType":"bad_data","error":"parse error","data":5}"#);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"status\":\"succ";
    let cases = [
        (http(500, "boom"), "HTTP 500 to \"up\": boom", 4),
        (bad, "HTTP 400 to \"up\": parse error", 1),
        (http(401, ""), "HTTP 401", 1),
        (http(200, "<html>login</html>"), "something else than it should", 1),
        (http(200, r#"{"status":"success","data":{"result":[{"metric":{},"values":[[1,"#), "EOF", 1),
        (half.to_owned(), "no answer from Prometheus", 4),
        ("silence".to_owned(), "within 1 s", 4),
    ];
    let tried = cases.map(|(answer, words, times)| async move {
        let server = Server::start(&[&answer]).await;
        let error = server.prometheus().instant("up", Timestamp(5)).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.lines().count() == 1, "{error}");
        assert_eq!(server.times_asked(), times, "{error}");
    });
    futures::future::join_all(tried).await;
    // Nobody listens there.
    let prometheus = Prometheus::open(&PrometheusOptions::at("http://127.0.0.1:9")).unwrap().unwrap();
    let error = prometheus.instant("up", Timestamp(5)).await.unwrap_err().to_string();
    assert!(error.contains("no answer from Prometheus at http://127.0.0.1:9"), "{error}");
}

#[tokio::test]
async fn what_is_sent_along() {
    let server = Server::start(&[&http(200, ONE)]).await;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let options = PrometheusOptions {
        prometheus_user: Some("me".into()),
        prometheus_password_file: Some(password.clone()),
        prometheus_tenant: Some("team-a".into()),
        prometheus_header: vec!["X-Extra: 1".parse().unwrap()],
        ..PrometheusOptions::at(&format!("{}/select/0/prometheus/?extra=1", server.url))
    };
    let prometheus = Prometheus::open(&options).unwrap().unwrap();
    prometheus.instant("up", Timestamp(5)).await.unwrap();
    let bearer =
        PrometheusOptions { prometheus_token_file: Some(password), ..PrometheusOptions::at(&server.url) };
    Prometheus::open(&bearer).unwrap().unwrap().instant("up", Timestamp(5)).await.unwrap();
    let asked = server.asked.lock().unwrap();
    let first = asked[0].to_lowercase();
    assert!(first.starts_with("post /select/0/prometheus/api/v1/query?extra=1 "), "{first}");
    assert!(first.contains("x-scope-orgid: team-a") && first.contains("x-extra: 1"), "{first}");
    assert!(asked[0].contains("Basic bWU6c2VjcmV0"), "{first}");
    assert!(asked[1].contains("Bearer secret"), "{}", asked[1]);
}

#[tokio::test]
async fn warnings_and_amounts_are_kept() {
    let warned = ONE.replace("\"data\"", "\"warnings\":[\"a store\\n is away\"],\"data\"");
    let server = Server::start(&[&http(200, &warned)]).await;
    let prometheus = server.prometheus();
    prometheus.instant("up", Timestamp(5)).await.unwrap();
    prometheus.instant("up", Timestamp(5)).await.unwrap();
    assert_eq!(prometheus.take_warnings(), ["a store is away"]);
    assert!(prometheus.take_warnings().is_empty());
    assert_eq!(prometheus.asked(), Asked { queries: 2, samples: 2, largest: 1 });
}

#[tokio::test]
async fn too_much_for_the_server_is_asked_for_in_halves_and_a_failure_can_be_taken_up_again() {
    let count = http(200, r#"{"status":"success","data":{"result":[{"metric":{},"value":[5,"10"]}]}}"#);
    let empty = http(200, r#"{"status":"success","data":{"result":[]}}"#);
    let large = http(422, r#"{"status":"error","error":"query processing would load too many samples"}"#);
    let broken = http(400, "");
    let mut answers = vec![count.as_str(); 10];
    answers.extend([&large, &broken, &empty].map(String::as_str));
    let server = Server::start(&answers).await;
    let prometheus = server.prometheus();
    let span = Range { start: Timestamp(0), end: Timestamp(9 * 60), step: 60 };
    let mut history = history::History::plan(&prometheus, prometheus.queries(None), span).await.unwrap();
    assert_eq!(history.pieces_left(), 1);
    // Halved, then broken: nothing is lost.
    history.next().await.unwrap_err();
    assert_eq!((history.left(), history.pieces_left()), (span, 2));
    let piece = history.next().await.unwrap().unwrap();
    assert_eq!((piece.end, history.left().start), (Timestamp(4 * 60), Timestamp(5 * 60)));
    assert!(history.next().await.unwrap().is_some());
    assert!(history.next().await.unwrap().is_none());
}
