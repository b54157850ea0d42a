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
    let range = Range { start: Timestamp(0), end: Timestamp(14 * 86_400), step: 60 };
    for series in [0, 1, 50, 1000, 3_000_000] {
        let pieces: Vec<_> = range.pieces(series).collect();
        let mut next = range.start;
        for piece in &pieces {
            assert_eq!(piece.start, next);
            let points = u64::try_from(piece.end.seconds_since(piece.start) / 60 + 1).unwrap();
            assert!(points <= 11_000 && (points == 1 || points * series <= MAX_SAMPLES));
            next = piece.end.plus(60);
        }
        assert!(next > range.end && next <= range.end.plus(60));
    }
}

#[test]
fn addresses_and_tokens_that_cannot_be_used_are_named() {
    let open = |url: &str, token: Option<&str>| {
        Prometheus::open(&PrometheusOptions {
            prometheus: Some(url.to_owned()),
            prometheus_token_file: token.map(Into::into),
            prometheus_timeout: 1,
        })
        .unwrap_err()
        .to_string()
    };
    assert!(open("prometheus:9090", None).contains("http://prometheus.monitoring:9090"));
    assert!(open("ftp://x", None).contains("must begin with http"));
    assert!(open("http://x", Some("/no/such/file")).contains("/no/such/file"));
}
