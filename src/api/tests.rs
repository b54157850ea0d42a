use super::*;

#[test]
fn spans_are_read_and_written() {
    for (text, seconds) in
        [("90s", 90), ("10m", 600), ("1h30m", 5400), ("14d", 1_209_600), ("1d2h3m4s", 93_784)]
    {
        let span: Span = text.parse().unwrap();
        assert_eq!(span.seconds, seconds, "{text}");
        assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
    }
    assert_eq!(Span::seconds(90).to_string(), "1m30s");
    for text in ["", "5", "m", "1m1h", "1m1m", "-1m", "1.5h", "99999999999s", "1w"] {
        assert!(text.parse::<Span>().unwrap_err().to_string().contains("14d"), "{text}");
    }
}

#[test]
fn an_empty_policy_has_every_default() {
    let policy: VerticalScalingPolicySpec = serde_json::from_str("{}").unwrap();
    assert_eq!(policy, VerticalScalingPolicySpec::default());
    assert_eq!(policy.actuation.cooldown, Span::minutes(10));
    assert_eq!(policy.band.min_change_percent, None);
}

#[test]
fn amounts_keep_their_text_and_know_their_value() {
    let amounts: ResourceAmounts = serde_json::from_str(r#"{"cpu": 2, "memory": "1.5Gi"}"#).unwrap();
    assert_eq!(serde_json::to_string(&amounts).unwrap(), r#"{"cpu":"2","memory":"1.5Gi"}"#);
    let memory = Amount::from(crate::units::Bytes(432_013_312));
    assert_eq!(memory.to_string(), "412Mi");
    assert_eq!(Amount::from(crate::units::Bytes(1_000_000_007)).to_string(), "1000000007");
    for bad in
        [r#"{"cpu": -1}"#, r#"{"cpu": "-1"}"#, r#"{"cpu": "lots"}"#, r#"{"cpu": 1.5}"#, r#"{"memory": []}"#]
    {
        assert!(serde_json::from_str::<ResourceAmounts>(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_field_of_the_definitions_is_described() {
    fn walk(path: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(|p| p.as_object()) {
            for (name, property) in properties {
                let path = format!("{path}.{name}");
                // metadata and what comes from Kubernetes' own types is described there.
                if property.get("description").is_none() && name != "metadata" {
                    missing.push(path.clone());
                }
                walk(&path, property, missing);
            }
        }
        if let Some(items) = schema.get("items") {
            walk(&format!("{path}[]"), items, missing);
        }
    }
    let mut missing = Vec::new();
    for definition in definitions() {
        let value = serde_json::to_value(&definition).unwrap();
        let name = &definition.spec.names.kind;
        let schema = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        assert!(schema["description"].as_str().unwrap().len() > 40);
        for part in ["spec", "status"] {
            walk(&format!("{name}.{part}"), &schema["properties"][part], &mut missing);
        }
    }
    assert!(missing.is_empty(), "without a description: {missing:#?}");
}
